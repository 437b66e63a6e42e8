"""FAISS, hnswlib and usearch on the vectors that `examples/similarity.rs` searches.

    cargo run --release --example similarity -- --address 127.0.0.1:6390 --dump /tmp/similarity-data
    target/peers/bin/python benches/peers/similarity.py /tmp/similarity-data

with the environment that `benches/peers/compare.py` makes, which also runs both.

Prints, for one thread each: seconds to build, recall@10 (one as similar as the tenth counts),
and queries a second, called one at a time and, where the library can, all in one call.
"""

import sys
import time

import faiss
import hnswlib
import numpy
from usearch.index import Index

DIMENSION = 128
MATCHES = 10

directory = sys.argv[1]
dimension = int(sys.argv[2]) if len(sys.argv) > 2 else DIMENSION


def unit(name):
    rows = numpy.fromfile(f"{directory}/{name}", dtype="<f4").reshape(-1, dimension)
    return numpy.ascontiguousarray(rows / numpy.linalg.norm(rows, axis=1, keepdims=True))


vectors, queries = unit("vectors.f32"), unit("queries.f32")
faiss.omp_set_num_threads(1)
# A part of the queries at a time, for a million vectors have many products.
truth = numpy.concatenate(
    [
        numpy.partition(queries[at : at + 50] @ vectors.T, -MATCHES, axis=1)[:, -MATCHES]
        for at in range(0, len(queries), 50)
    ]
)


def recall(found):
    scores = numpy.einsum("qd,qkd->qk", queries, vectors[found])
    return float((scores >= truth[:, None] - 1e-6).mean())


def report(name, build, search, batch=None):
    found = numpy.array([search(query) for query in queries])
    started, turns = time.perf_counter(), 0
    while time.perf_counter() - started < 2:
        for query in queries:
            search(query)
        turns += len(queries)
    single = turns / (time.perf_counter() - started)
    together = ""
    if batch:
        started, turns = time.perf_counter(), 0
        while time.perf_counter() - started < 2:
            batch(queries)
            turns += len(queries)
        together = f"{turns / (time.perf_counter() - started):.0f}"
    print(f"{name:40} {build:7.1f} {recall(found):8.4f} {single:10.0f} {together:>10}", flush=True)


def timed(work):
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


print(f"{len(vectors)} x {dimension}\n{'':40} build s   recall   single/s    batch/s")

flat = faiss.IndexFlatIP(dimension)
flat.add(vectors)
report(
    "FAISS IndexFlatIP",
    0.0,
    lambda query: flat.search(query[None], MATCHES)[1][0],
    lambda all_queries: [flat.search(all_queries[at : at + 32], MATCHES) for at in range(0, len(all_queries), 32)],
)

lists = int(4 * len(vectors) ** 0.5)


def build_ivf():
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
    made.train(vectors)
    made.add(vectors)
    return made


ivf, took = timed(build_ivf)
for probes in (4, 8, 16, 32):
    ivf.nprobe = probes
    report(
        f"FAISS IVF, {lists} lists, {probes} probes",
        took,
        lambda query: ivf.search(query[None], MATCHES)[1][0],
        lambda all_queries: ivf.search(all_queries, MATCHES),
    )


def build_hnsw():
    made = hnswlib.Index("ip", dimension)
    made.init_index(len(vectors), M=16, ef_construction=100)
    made.set_num_threads(1)
    made.add_items(vectors)
    return made


graph, took = timed(build_hnsw)
for ef in (20, 40, 80):
    graph.set_ef(ef)
    report(
        f"hnswlib, M 16, ef {ef}",
        took,
        lambda query: graph.knn_query(query, MATCHES)[0][0],
        lambda all_queries: graph.knn_query(all_queries, MATCHES),
    )


def build_usearch():
    made = Index(ndim=dimension, metric="ip", dtype="f32", connectivity=16, expansion_add=100)
    made.add(numpy.arange(len(vectors)), vectors, threads=1)
    return made


other, took = timed(build_usearch)
for expansion in (32, 64):
    other.expansion_search = expansion
    report(
        f"usearch, M 16, ef {expansion}",
        took,
        lambda query: other.search(query, MATCHES, threads=1).keys,
        lambda all_queries: other.search(all_queries, MATCHES, threads=1),
    )
