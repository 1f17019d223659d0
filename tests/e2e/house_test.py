#!/usr/bin/env python3
"""What keeps the house in order: includes go downward only, one place knows each library, every header stands alone, and the docs name real files."""
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [path for room in ("net", "telemetry", "proxy", "collector") for path in sorted((ROOT / room).rglob("*")) if path.suffix in (".h", ".cc")]

# A floor and what it must not include.
FORBIDDEN = {
    "net/core": ("net/io", "net/http", "telemetry", "proxy", "collector"),
    "net/io": ("net/http", "telemetry", "proxy", "collector"),
    "net/http": ("telemetry", "proxy", "collector"),
    "telemetry": ("proxy", "collector"),
    "proxy": ("collector",),
    "collector": ("proxy",),
}
# A library's header and the files that may know it.
KNOWN_BY = {
    r"uv\.h": r"net/io/",
    r"llhttp\.h": r"net/http/h1_grammar\.h",
    r"openssl/": r"(net/io/tls_|collector/lake/digest\.cc)",
    r"curl/": r"collector/lake/http_transfer\.cc",
    r"yaml-cpp/": r"net/core/yaml_",
    r"protozero/": r"telemetry/otlp",
    r"rocksdb/": r"collector/store/rocks_",
    r"re2/": r"collector/store/series_regex",
    r"roaring/": r"collector/store/series_postings",
    r"utf8proc\.h": r"collector/store/text_fold\.cc",
    r"spdlog/": r"net/core/log\.cc",
    r"CLI/": r"(proxy|collector)/(options|main)\.cc",
    r"xxhash\.h": r"telemetry/",
    r"zstd\.h|zlib\.h": r"net/http/compress\.cc",
}


def includes(path):
    return re.findall(r'^\s*#include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M)


class House(unittest.TestCase):
    maxDiff = None

    def test_includes_go_downward_only(self):
        wrong = []
        for path in SOURCES:
            name = str(path.relative_to(ROOT))
            for floor, above in FORBIDDEN.items():
                if name.startswith(floor + "/"):
                    wrong += [f"{name} includes {i}" for i in includes(path) if i.startswith(tuple(a + "/" for a in above))]
        self.assertEqual(wrong, [])

    def test_one_place_knows_each_library(self):
        wrong = []
        for path in SOURCES:
            name = str(path.relative_to(ROOT))
            for library, place in KNOWN_BY.items():
                wrong += [f"{name} includes {i}" for i in includes(path) if re.match(library, i) and not re.match(place, name)]
        self.assertEqual(wrong, [])

    def test_json_stays_out_of_headers(self):
        """It costs seconds a file. A header that is a shared part of some sources says so in its head."""
        wrong = [str(p.relative_to(ROOT)) for p in SOURCES
                 if p.suffix == ".h" and "nlohmann/json.hpp" in includes(p) and "For .cc files only" not in p.read_text()]
        self.assertEqual(wrong, [])

    def test_every_header_stands_alone(self):
        """A source includes its own header first, so a header that needs another's includes does not build; the others are compiled alone."""
        wrong, alone = [], []
        for header in (p for p in SOURCES if p.suffix == ".h"):
            name, source = str(header.relative_to(ROOT)), header.with_suffix(".cc")
            if "#pragma once" not in header.read_text():
                wrong.append(f"{name} has no #pragma once")
            if not source.exists():
                alone.append(header)
            elif next(iter(includes(source)), None) != name:
                wrong.append(f"{source.relative_to(ROOT)} does not include its own header first")
        compiler = os.environ.get("CXX", "c++")
        command = [compiler, "-std=c++20", "-fsyntax-only", "-w", "-x", "c++", f"-I{ROOT}", '-DHMS_VERSION="0"']
        for first in range(0, len(alone), 2):
            jobs = [(h, subprocess.Popen([*command, str(h)], stderr=subprocess.PIPE, text=True)) for h in alone[first:first + 2]]
            for header, job in jobs:
                errors = job.communicate()[1]
                if job.returncode:
                    wrong.append(f"{header.relative_to(ROOT)}: {errors.splitlines()[0]}")
        self.assertEqual(wrong, [])

    def test_the_docs_name_files_that_exist(self):
        wrong = []
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
            if not page.exists():
                continue
            for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
                if "://" not in target and not (page.parent / target).exists():
                    wrong.append(f"{page.relative_to(ROOT)} links to {target}")
            for name in re.findall(r"`((?:net|telemetry|proxy|collector|dashboard|deploy|tests|docs)/[\w./-]+\.(?:h|cc|py|md|yaml|mjs))`", page.read_text()):
                if not (ROOT / name).exists():
                    wrong.append(f"{page.relative_to(ROOT)} names {name}")
        self.assertEqual(wrong, [])

    def test_every_metric_of_the_collector_is_on_its_page(self):
        page = (ROOT / "docs/metrics.md").read_text()
        names = {name for path in SOURCES if str(path.relative_to(ROOT)).startswith("collector/") for name in re.findall(r'"(hms_collector_[a-z0-9_]+)"', path.read_text())}
        self.assertEqual([name for name in sorted(names) if f"| `{name}` |" not in page], [], "docs/metrics.md lacks them")
        told = re.findall(r"\| `(hms_collector_[a-z0-9_]+)` \|", page)
        self.assertEqual([name for name in told if name not in names], [], "docs/metrics.md has names that no source has")

    def test_nothing_names_a_machine(self):
        tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
        if tracked.returncode:
            self.skipTest("not a git checkout")
        wrong = [name for name in tracked.stdout.split() if name.endswith("package-lock.json") and '"resolved": "http' in (ROOT / name).read_text()]
        self.assertEqual(wrong, [], "lock files name a registry's host")


if __name__ == "__main__":
    unittest.main(verbosity=2)
