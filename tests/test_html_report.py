"""The web page of a run: what is on it, that it is whole, and that nothing in a manifest can get out of it."""

from __future__ import annotations

import doctest
import json
import re
from html.parser import HTMLParser

import pytest

import bloomdata
from bloomdata import MinHash, Substring
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.reports import html_report as module
from bloomdata.reports.html_charts import escape, share
from bloomdata.reports.html_report import MAX_FILES, NUM_SOURCES, html_report
from bloomdata.reports.report import MergeReport, PackReport, Report, ShardReport
from deduping import similar_texts, write_files

EVERYWHERE = ["Key figures", "Ledger", "Documents left out, by reason", "Outputs", "Inputs", "Configuration"]
SECTIONS = {
    "shard": [*EVERYWHERE, "Ignored inputs"],
    "pack": [*EVERYWHERE, "Ignored inputs", "Metrics", "Lengths of documents", "Tokens by input", "Padding"],
    "megatron": [*EVERYWHERE, "Ignored inputs", "Lengths of documents", "Tokens by input"],
    "merge": [*EVERYWHERE, "Lengths of documents"],
    "empty": ["Key figures", "Inputs", "Configuration"],
    "dedup": [*EVERYWHERE, "Duplicates"],
    "passages": [*EVERYWHERE, "Duplicates"],
}
EVIL = """<script>alert("1")</script>'&amp;\x1b[31m\u202etxt"""


class Page(HTMLParser):
    """Everything that the tests ask of a page; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sections, self.bars, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "svg" and attributes.get("class") == "balance":
            self.bars.append([])
        if tag == "rect" and self.bars and ("svg", "balance") in self.open:
            self.bars[-1].append((attributes["x"], attributes["width"]))
        if tag != "meta":
            self.open.append((tag, attributes.get("class")))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1][0] == "h2":
            self.sections.append(data)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A report of every kind."""
    folder = tmp_path_factory.mktemp("reports")
    raw = folder / "raw"
    raw.mkdir()
    records = [{"prompt": "a" * n, "completion": "b" * n} for n in range(1, 12)]
    (raw / "a<script>.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\nbad\n")
    (raw / "b.txt").write_text("one line\n")
    (raw / "README.md").write_text("not read")
    (folder / "empty.jsonl").touch()
    similar = write_files(folder / "similar", similar_texts(1, 250))
    options = {"tokenizer": "bytes", "record": "prompt_completion", "on_bad_record": "quarantine"}
    rows = {"packing": "greedy", "sequence_length": 16}
    return {
        "shard": bloomdata.shard(raw, folder / "shard", on_bad_record="quarantine"),
        "pack": bloomdata.pack(raw, folder / "pack", **options, **rows),
        "megatron": bloomdata.pack(raw, folder / "megatron", format="megatron", **options),
        "merge": bloomdata.merge([folder / "megatron"], folder / "merge"),
        "empty": bloomdata.shard(folder / "empty.jsonl", folder / "empty", allow_empty=True),
        "dedup": bloomdata.dedup(similar, folder / "dedup", near=MinHash(0.6), report_only=True),
        "passages": bloomdata.dedup(similar, folder / "passages", exact=None, substring=Substring(words=8)),
    }


def page_of(report, **changes):
    return html_report({**report.manifest, **changes}, folder=str(report.folder))


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_page_has_the_sections_for_which_there_is_data(kind, reports):
    assert sorted(Page(page_of(reports[kind])).sections) == sorted(SECTIONS[kind])


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_page_is_whole_and_loads_nothing(kind, reports):
    page = Page(page_of(reports[kind]))
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(identities)) == len(identities)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    for _, attributes in page.tags:
        assert not {"src", "href", "xlink:href", "srcset", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page_of(reports[kind]))


@pytest.mark.parametrize("kind", SECTIONS)
def test_equal_manifests_give_equal_pages(kind, reports):
    manifest = json.loads(json.dumps(reports[kind].manifest))
    assert html_report(manifest, folder="out") == html_report(reports[kind].manifest, folder="out")


def widths(bar):
    """Hundredths of a hundredth of a percent; every segment starts where the one before ends."""
    places = [tuple(int(value.removesuffix("%").replace(".", "")) for value in segment) for segment in bar]
    at = 0
    for start, width in places:
        assert start == at
        at += width
    return [width for _, width in places]


@pytest.mark.parametrize(
    ("kind", "bars"), [("shard", 1), ("pack", 3), ("megatron", 2), ("merge", 2), ("empty", 0), ("dedup", 1)]
)
def test_balance_bars_sum_up_to_a_hundred_percent(kind, bars, reports):
    found = Page(page_of(reports[kind])).bars
    assert [sum(widths(bar)) for bar in found] == [1_000_000] * bars


def test_segments_are_as_wide_as_their_shares(reports):
    ledger = {**reports["pack"].ledger, "documents_in": 12, "documents_kept": 6}
    ledger |= {"documents_dropped": {"a": 3, "none": 0, "b": 1}, "documents_quarantined": {"c": 2}}
    ledger |= {"tokens_out": 90, "tokens_padding": 30, "tokens_truncated": 7, "tokens_dropped": 3}
    documents, tokens, _ = Page(page_of(reports["pack"], ledger=ledger)).bars
    assert widths(documents) == [500_000, 250_000, 83_333, 166_667]
    assert widths(tokens) == [600_000, 300_000, 70_000, 30_000]


def test_nothing_of_a_manifest_is_taken_for_html(reports):
    manifest = json.loads(json.dumps(reports["pack"].manifest))
    for entry in (*manifest["inputs"], *manifest["outputs"]):
        entry["path"] = entry["hash"] = EVIL
    manifest["ignored_inputs"] = [EVIL]
    manifest["config"] = {EVIL: [EVIL]}
    manifest["ledger"]["documents_dropped"] = {EVIL: 1}
    manifest["details"]["tokenizer"]["backend"] = EVIL
    manifest["details"]["metrics_by_split"] = {EVIL: manifest["details"]["metrics"]}
    manifest["verb"] = manifest["fingerprint"] = manifest["bloomdata_version"] = EVIL
    text = html_report(manifest, folder=EVIL)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    page = Page(text)
    assert sorted(page.sections) == sorted(SECTIONS["pack"])
    assert "".join(page.texts).count("""<script>alert("1")</script>'&amp;\\x1b[31m\\u202etxt""") > 10


def test_what_cannot_be_seen_is_shown():
    assert escape("a\n\x00\ud800 é") == "a\\n\\x00\\ud800 é"
    page_bytes = escape("\ud800").encode()
    assert page_bytes == b"\\ud800"


def test_a_share_is_none_or_all_only_if_it_is_exactly_that():
    parts = [0, 1, 49, 50, 10**6 - 51, 10**6 - 50, 10**6 - 1, 10**6]
    expected = ["0.00%", "<0.01%", "<0.01%", "0.01%", "99.99%", ">99.99%", ">99.99%", "100.00%"]
    assert [share(part, 10**6) for part in parts] == expected
    assert share(0, 0) == "-"


def test_the_largest_sources_are_shown_and_the_rest_is_summed_up(reports):
    entry = reports["pack"].manifest["inputs"][0]
    inputs = [{**entry, "path": f"in-{n}", "tokens": n, "documents_kept": 1} for n in range(1, NUM_SOURCES + 4)]
    text = page_of(reports["pack"], inputs=inputs)
    sources = text.split("<h2>Tokens by input</h2>")[1].split("</section>")[0]
    assert re.findall(r">(in-\d+)<", sources) == [f"in-{n}" for n in range(NUM_SOURCES + 3, 3, -1)]
    rest = sources.split("3 more")[1]
    assert re.findall(r">([\d.,%]+)</td>", rest) == ["3", "6", "2.17%"]


def test_lists_of_files_say_how_many_more_there_are(reports):
    entry = reports["pack"].outputs[0]
    outputs = [{**entry, "path": f"out-{n}"} for n in range(MAX_FILES + 5)]
    text = page_of(reports["pack"], outputs=outputs, ignored_inputs=["x"] * (MAX_FILES + 6))
    assert f"out-{MAX_FILES - 1}<" in text
    assert f"out-{MAX_FILES}<" not in text
    assert "and 5 more" in text
    assert "and 6 more" in text


def test_numbers_have_separators_and_rows_are_no_bytes(reports):
    entry = {**reports["pack"].manifest["inputs"][0], "format": "parquet", "content_bytes": 1234567, "tokens": 7654321}
    text = page_of(reports["pack"], inputs=[entry])
    assert ">1,234,567 rows<" in text
    assert ">7,654,321<" in text


def test_the_histogram_counts_articles_by_powers_of_two(reports):
    details = {**reports["pack"].manifest["details"], "length_histogram": [2, 0, 4]}
    text = page_of(reports["pack"], details=details)
    lengths = text.split("<h2>Lengths of documents</h2>")[1].split("</section>")[0]
    assert re.findall(r'<th scope="row">([^<]*)</th><td[^>]*>([^<]*)</td>', lengths) == [
        ("1", "2"),
        ("2 to 3", "0"),
        ("4 to 7", "4"),
    ]
    assert re.findall(r'<rect class="kept" width="([^"]*)"', lengths) == ["50.0000%", "0.0000%", "100.0000%"]


def test_metrics_of_splits_stand_beside_their_sum(reports):
    details = reports["pack"].manifest["details"]
    splits = {"train": details["metrics"], "dev": {**details["metrics"], "sequences": 77}}
    text = page_of(reports["pack"], details={**details, "metrics_by_split": splits})
    assert [text.count(f'<th scope="col">{name}</th>') for name in ("all", "train", "dev")] == [1, 1, 1]
    assert '<td data-column="dev">77</td>' in text


# --- duplicates ---------------------------------------------------------------------------------------------------


def section_of(page, name):
    return page.split(f"<h2>{name}</h2>")[1].split("</section>")[0]


def rows_of(text, caption):
    """The cells of a table without bars, as text."""
    body = text.split(f"<caption>{caption}</caption>")[1].split("</tbody>")[0].split("<tbody>")[1]
    return [tuple(re.findall(r"<t[hd][^>]*>([^<]*)", row)) for row in body.split("</tr>") if row.strip()]


def test_duplicates_have_their_numbers_on_the_page(reports):
    report = reports["dedup"]
    near, dropped = report.near, report.ledger["documents_dropped"]
    text = section_of(page_of(report), "Duplicates")
    assert re.findall(r"<h3>([^<]*)</h3>", text) == ["Bands", "Candidates", "Recall and precision"]
    assert f"{near['bands']} bands of {near['rows']} rows" in text
    assert "250 documents were compared." in text
    assert [row[:2] for row in rows_of(text, "Documents dropped")] == [
        (reason, str(dropped[reason])) for reason in ("exact duplicate", "near duplicate")
    ]
    assert rows_of(text, "Chance of being compared") == [(f"{s:.2f}", f"{chance:.4f}") for s, chance in near["curve"]]
    pairs = rows_of(text, "Candidates by similarity")
    assert [int(row[1]) for row in pairs] == near["edges"]["candidates_by_similarity"]
    assert [row[0] for row in pairs] == [f"{at / 10:.1f} to {at / 10 + 0.1:.1f}" for at in range(10)] + ["1.0"]
    recall, precision = (near["honesty"][name] for name in ("recall", "precision"))
    assert [row[:2] for row in rows_of(text, "Recall and precision")] == [
        ("recall", f"{recall['hits']:,} of {recall['of']:,}"),
        ("precision", f"{precision['hits']:,} of {precision['of']:,}"),
    ]
    low, high = recall["interval"]
    assert f"{low:.2%} to {high:.2%}" in text


def test_the_curve_goes_through_its_points(reports):
    text = section_of(page_of(reports["dedup"]), "Duplicates")
    [points] = re.findall(r'<polyline points="([^"]*)"/>', text)
    found = [tuple(map(float, point.split(","))) for point in points.split()]
    expected = [(0.0, 0.0), *reports["dedup"].near["curve"]]
    assert len(found) == 21
    for (x, y), (similarity, chance) in zip(found, expected, strict=True):
        assert abs(x - 200 * similarity) < 0.01
        assert abs(y - 100 * (1 - chance)) < 0.01
    assert '<path class="mark" d="M120.00 0V100"/>' in text


def test_repeated_passages_have_their_numbers_on_the_page(reports):
    repeated = reports["passages"].manifest["details"]["repeated"]
    text = section_of(page_of(reports["passages"]), "Duplicates")
    assert re.findall(r"<h3>([^<]*)</h3>", text) == ["Repeated passages"]
    rows = dict(rows_of(text, "Repeated passages"))
    assert rows["passages"] == f"{repeated['spans']:,}"
    assert rows["documents with any"] == f"{repeated['documents']:,}"
    assert repeated["spans"] > 0


def test_filters_have_their_numbers_on_the_page(tmp_path):
    inputs = write_files(tmp_path / "in", similar_texts(1, 250))
    near = MinHash(0.6, index="bloom", expected_documents=1000)
    report = bloomdata.dedup(inputs, tmp_path / "out", exact=None, near=near, report_only=True)
    text, bloom = section_of(page_of(report), "Duplicates"), report.near["bloom"]
    assert re.findall(r"<h3>([^<]*)</h3>", text) == ["Bands", "Filters"]
    rows = dict(rows_of(text, "Filters"))
    assert rows["documents in the filters"] == f"{bloom['documents']:,}"
    assert rows["  of random documents"] == f"{bloom['probes_found']:,} of {bloom['probes']:,}"


def test_nothing_of_a_run_of_dedup_is_taken_for_html(reports):
    manifest = json.loads(json.dumps(reports["dedup"].manifest))
    details = manifest["details"]
    details["bytes_dropped"] = {EVIL: 1}
    details["against"] = [{"path": EVIL, "hash": EVIL, "documents": 3}]
    text = html_report(manifest, folder="out")
    assert "<script" not in text
    assert "of which 3 are those of other files" in text
    assert Page(text).sections == Page(page_of(reports["dedup"])).sections


def test_samples_without_pairs_have_no_share(reports):
    details = json.loads(json.dumps(reports["dedup"].manifest["details"]))
    nothing = {"hits": 0, "of": 0, "share": 1.0, "interval": [0.0, 1.0]}
    details["near"]["honesty"] |= {"recall": nothing, "precision": nothing}
    details["near"]["edges"]["candidates_by_similarity"] = [0] * 11
    text = section_of(page_of(reports["dedup"], details=details), "Duplicates")
    assert ("recall", "0 of 0", "-", "0.00% to 100.00%") in rows_of(text, "Recall and precision")
    assert "Candidates by similarity" not in text


def test_the_example_runs(raw):
    globs = {**vars(module), "bloomdata": bloomdata}
    test = doctest.DocTestFinder().find(html_report, globs=globs)[0]
    assert doctest.DocTestRunner().run(test).failed == 0


# --- files and the command line -----------------------------------------------------------------------------------


def test_a_report_saves_its_page_beside_its_folder(reports, tmp_path):
    (tmp_path / "a.html").write_text("old")
    reports["pack"].save_html(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text("utf-8") == page_of(reports["pack"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_page_does_not_go_into_the_folder_that_it_is_about(reports, raw):
    with pytest.raises(ConfigError, match=r"html: expected a path outside of .*, got .*report\.html"):
        reports["pack"].save_html(reports["pack"].folder / "report.html")
    assert main(["shard", "raw", "-o", "out", "--html", "out/report.html"]) == 1
    assert not (raw.parent / "out").exists()


def test_a_page_that_cannot_be_written_leaves_nothing(reports, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"folder"):
        reports["pack"].save_html(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match=r"none"):
        reports["pack"].save_html(tmp_path / "none" / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_runs_of_the_command_line_write_pages(raw, capsys):
    options = ["--tokenizer", "bytes", "--format", "megatron"]
    for command in (
        ["shard", "raw", "-o", "shard"],
        ["pack", "raw", "-o", "pack", *options],
        ["merge", "pack", "-o", "merge"],
    ):
        page = raw.parent / f"{command[0]}.html"
        assert main([*command, "--html", str(page)]) == 0
        assert page.read_text("utf-8") == page_of(Report.open(command[0]))
        capsys.readouterr()


def test_the_report_of_a_finished_folder_is_shown_again(reports, raw, capsys):
    bloomdata.shard("raw", "out")
    assert main(["report", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shard -> out: finished"
    assert lines[1:] == str(bloomdata.shard("raw", "out")).splitlines()[1:]
    assert main(["report", "out", "--html", "out.html"]) == 0
    assert capsys.readouterr().out == ""
    assert (raw.parent / "out.html").read_text("utf-8") == page_of(Report.open("out"))


def test_an_opened_report_has_the_class_of_its_verb(reports):
    found = [type(Report.open(reports[kind].folder)) for kind in ("shard", "pack", "megatron", "merge")]
    assert found == [ShardReport, PackReport, PackReport, MergeReport]
    assert Report.open(reports["pack"].folder).manifest == reports["pack"].manifest
    assert Report.open(reports["pack"].folder).to_json()["seconds"] is None


def test_folders_without_books_are_refused(reports, tmp_path):
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        Report.open(tmp_path)
    manifest = reports["pack"].manifest
    ledger = manifest["ledger"]
    for damaged in (
        {name: value for name, value in manifest.items() if name != "ledger"},
        {**manifest, "ledger": {**ledger, "tokens_in": "1"}},
        {**manifest, "ledger": {**ledger, "documents_dropped": {"a": None}}},
        {**manifest, "ledger": {**ledger, "documents_dropped": []}},
        {**manifest, "inputs": [1]},
        {**manifest, "outputs": [{"path": "a"}]},
        {**manifest, "details": None},
        {**manifest, "ignored_inputs": None},
        {**manifest, "fingerprint": None},
    ):
        (tmp_path / "manifest.json").write_text(json.dumps(damaged))
        with pytest.raises(CorruptDataError, match=r"manifest\.json"):
            Report.open(tmp_path)
