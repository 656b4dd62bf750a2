"""A model with everything a resumed training could get wrong: tables, BatchNorm and dropout."""

import torch
from torch import nn

from rokkit.layers.embedding import FieldEmbedding


class Toy(nn.Module):
    """MLP over the fields, the mean of the history and the neighbours' labels."""

    needs = frozenset({"history", "neighbours"})

    def __init__(self, schema, dim=4, dropout=0.3):
        super().__init__()
        self.table = FieldEmbedding(schema.n_ids, dim)
        self.hidden = nn.Linear(dim * (schema.n_fields + 1) + 1, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(8, 1)

    def forward(self, batch):
        x = self.table(batch.x).flatten(1)
        behaviours = self.table(batch.history).sum(2).mean(1)
        labels = batch.neighbour_labels.float().mean(1, keepdim=True)
        joined = torch.cat([x, behaviours, labels], 1)
        return self.out(self.drop(self.norm(self.hidden(joined)).relu())).squeeze(1)


class Scripted(nn.Module):
    """No data: the weight moves a fixed way at each step; metrics are read from a script.

    It is its own task, so a test sees which weights the loop evaluated and restored.
    """

    def __init__(self, script, monitor="auc"):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.script = list(script)
        self.monitor = monitor
        self.evaluated = []  # weights at each evaluation
        self.rows = []  # rows of each step

    @property
    def module(self):
        return self

    def loss(self, batch_rows):
        self.rows.append(batch_rows.tolist())
        return self.weight.sum() * 1.0

    def evaluate(self):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.evaluated.append(self.weight.item())
        return {self.monitor: self.script[len(self.evaluated) - 1]}
