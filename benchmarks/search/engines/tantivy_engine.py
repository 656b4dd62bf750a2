"""tantivy through its Python package: one segment, so that its row numbers are ours."""

from pathlib import Path

import numpy as np
import tantivy

from search.engines import Answer, Ids, folder_bytes

FIELD = "line"
SHOULD = tantivy.Occur.Should


class Tantivy:
    """A field of raw tokens without positions; an OR of terms, hits not counted."""

    per_idf = 1.0

    def __init__(self) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_text_field(FIELD, tokenizer_name="raw", index_option="basic")
        self.schema = schema.build()

    def prepare(self) -> None:
        """Nothing is compiled."""

    def build(self, x: Ids, folder: Path) -> int:
        """One writer with room for everything: a second segment would renumber rows."""
        place = folder / "tantivy"
        place.mkdir(exist_ok=True)
        index = tantivy.Index(self.schema, path=str(place))
        room = min(4_000_000_000, 64_000_000 + 150 * x.size)
        writer = index.writer(heap_size=room, num_threads=1)
        for row in x:
            document = tantivy.Document()
            for value in row.tolist():
                document.add_text(FIELD, str(value))
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self.open(folder)
        if self.searcher.num_segments != 1:
            raise RuntimeError(f"{self.searcher.num_segments} segments were written; expected one")
        return folder_bytes(place)

    def open(self, folder: Path) -> None:
        """Open what `build` wrote."""
        self.index = tantivy.Index.open(str(folder / "tantivy"))
        self.index.reload()
        self.searcher = self.index.searcher()

    def search(self, q: Ids, k: int) -> Answer:
        """As the protocol says."""
        ids, values = np.full((len(q), k), -1, np.int32), np.zeros((len(q), k), np.float32)
        for b, row in enumerate(q.tolist()):
            terms = [
                (SHOULD, tantivy.Query.term_query(self.schema, FIELD, str(value), "basic"))
                for value in row
            ]
            query = tantivy.Query.boolean_query(terms)
            for place, (score, address) in enumerate(
                self.searcher.search(query, k, count=False).hits
            ):
                ids[b, place], values[b, place] = address.doc, score
        return ids, values
