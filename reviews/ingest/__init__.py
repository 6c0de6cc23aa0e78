"""Files become documents: read, mapped, compared with what is there, given their split.

Knows nothing of queues or reviews.

Documents that are nearly the same
----------------------------------
A test article with one changed word has another hash, and another hash may be another split. So each document that
comes in is compared with all that are there (`reviews/ingest/twins.py`), and joins the split of its twin: for ever,
as by hash; the document says which twin, and how much is the same. What hangs together within a file, by twins or by
a group, comes into one split, whatever the order of its rows; where a twin or a group is in test, test decides.

`models_app/texts/near_duplicates.py` says what *nearly the same* means: words without case, accents, punctuation,
HTML and invisible characters; three in a row are a shingle; at least 65 % of the shorter text's shingles in the other
one, and a quarter of the longer one's. That holds wherever Jaccard is 0.8, for half an article, for an article with
as much again appended, and for every tenth word changed; with every eighth word changed it is another text.
Candidates are found by the 16 lowest hashes of a document (bottom-k MinHash) in `SketchHash` (two of them in common),
sifted by the 64 lowest, and counted out on the texts. An import keeps those of its own documents in memory, in order,
and writes them at its end, in its own transaction (`reviews/ingest/sketches.py`).

Two imports that run at the same moment do not see each other's documents, and rows put in by SQL come past all of it.
So freezing looks again: a snapshot leaves out examples whose article is nearly a test document's or whose text is
nearly a reference of one, a test set leaves out documents that are nearly the same as what any snapshot learns from,
and both name what they left out. Trying a prompt on an article looks again, too. What came past the imports is
compared first: up to 500 documents at once by the request that needs it, more by the job `compare_documents`, and
until that is done freezing and trying answer 503.

`reviews/ingest/quoting.py` finds what a prompt has of test documents: of their articles by the hashes above, of their
references (what they came with, and the corrections that test sets have) by the 8 lowest hashes of each in
`ReferenceHash`.

Imports
-------
`reviews/ingest/life.py` tells the life of a file or data set once: uploaded, looked at, mapped, imported in one
transaction, reported on; failed or cancelled and tried again; forgotten. `DOCUMENTS` (`reviews/ingest/imports.py`)
and `RATINGS` (`reviews/external_ratings/imports.py`) are its two kinds and say what their rows are: which columns
they map, how options are checked, how rows are stored, what the report counts. `reviews/web/ingest/import_pages.py`
and `reviews/management/imports.py` are their pages and their commands.
"""
