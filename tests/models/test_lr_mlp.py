"""LR and MLP against their equations."""

import numpy as np
import torch

from rokkit.models import create_model, parameter_counts


def test_lr_is_linear_over_the_embeddings_in_field_order(tiny):
    model = create_model("lr", tiny.schema, embed_dim=3)
    table = model.embedding.weight.detach().numpy()
    w, b = model.backbone.head.weight.detach().numpy()[0], model.backbone.head.bias.item()
    expected = [np.concatenate([table[i] for i in row]) @ w + b for row in tiny.batch.x.numpy()]
    np.testing.assert_allclose(model(tiny.batch).detach().numpy(), expected, rtol=1e-5)


def test_extra_comes_after_the_embeddings(tiny):
    # ROK(LR) of Table 4 is LR over x ⊕ z: with zero weights on x it is linear in z alone.
    backbone = type(create_model("lr", tiny.schema).backbone)(
        tiny.schema, create_model("lr", tiny.schema).backbone.config, 2
    )
    with torch.no_grad():
        backbone.head.weight.zero_()
        backbone.head.weight[0, -2:] = torch.tensor([1.0, 10])
        backbone.head.bias.zero_()
    extra = torch.arange(24.0).view(12, 2)
    found = backbone(tiny.batch, create_model("lr", tiny.schema).embedding, extra)
    torch.testing.assert_close(found, extra[:, 0] + 10 * extra[:, 1])


def test_mlp_is_two_relu_layers_over_the_embeddings(tiny):
    model = create_model("mlp", tiny.schema, embed_dim=3, hidden=(5, 4), init_std=1.0)
    n = {key: value.numpy() for key, value in model.state_dict().items()}
    y = n["embedding.weight"][tiny.batch.x.numpy()].reshape(12, -1)
    for layer in (0, 2):
        w, b = n[f"backbone.head.hidden.{layer}.weight"], n[f"backbone.head.hidden.{layer}.bias"]
        y = np.maximum(y @ w.T + b, 0)
    expected = y @ n["backbone.head.out.weight"].T + n["backbone.head.out.bias"]
    np.testing.assert_allclose(model(tiny.batch).detach().numpy(), expected[:, 0], rtol=1e-4)


def test_the_mlp_has_the_head_of_the_paper_by_default(tiny):
    head = create_model("mlp", tiny.schema).backbone.head
    assert [m.out_features for m in head.modules() if hasattr(m, "out_features")] == [200, 80, 1]


def test_they_have_the_parameters_of_their_layers(tiny):
    width = 4 * 16  # F·d
    head = width * 200 + 200 + 200 * 80 + 80 + 80 + 1
    counts = {name: parameter_counts(create_model(name, tiny.schema)) for name in ("lr", "mlp")}
    assert counts["lr"] == {"table": 105 * 16, "dense": width + 1, "total": 105 * 16 + width + 1}
    assert counts["mlp"] == {"table": 105 * 16, "dense": head, "total": 105 * 16 + head}
