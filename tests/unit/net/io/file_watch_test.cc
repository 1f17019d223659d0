#include "net/io/file_watch.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace hms::net {
namespace {

namespace fs = std::filesystem;

constexpr Millis kLong{10'000};

/// A directory of its own, removed at the end.
struct Folder {
  Folder() {
    char name[] = "/tmp/hms_watch_XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
  }
  fs::path path;
};

struct Watched {
  explicit Watched(const fs::path& path)
      : watch(FileWatch::watch(loop, path, [this] { ++changes; })) {}
  bool sees_change() {
    const int before = changes;
    return loop.run_until([&] { return changes > before; }, kLong);
  }
  Loop loop;
  int changes = 0;
  std::unique_ptr<FileWatch> watch;
};

}  // namespace

TEST_CASE("file watch: a file rewritten, replaced, removed and made again is seen each time") {
  const Folder folder;
  folder.write("config.yaml", "a: 1");
  Watched watched(folder.path / "config.yaml");
  folder.write("config.yaml", "a: 22");
  CHECK(watched.sees_change());
  folder.write("new", "a: 333");
  fs::rename(folder.path / "new", folder.path / "config.yaml");
  CHECK(watched.sees_change());
  fs::remove(folder.path / "config.yaml");
  CHECK(watched.sees_change());
  folder.write("config.yaml", "a: 4444");
  CHECK(watched.sees_change());
}

TEST_CASE("file watch: a ConfigMap's swap of the symlink above is seen") {
  const Folder folder;
  fs::create_directory(folder.path / "..v1");
  fs::create_directory(folder.path / "..v2");
  folder.write("..v1/config.yaml", "a: 1");
  folder.write("..v2/config.yaml", "a: 2");
  fs::create_symlink("..v1", folder.path / "..data");
  fs::create_symlink("..data/config.yaml", folder.path / "config.yaml");
  Watched file(folder.path / "config.yaml");
  Watched directory(folder.path);
  fs::create_symlink("..v2", folder.path / "..data_tmp");
  fs::rename(folder.path / "..data_tmp", folder.path / "..data");
  CHECK(file.sees_change());
  CHECK(directory.sees_change());
}

TEST_CASE("file watch: of a directory only the yaml files count") {
  const Folder folder;
  folder.write("a.yaml", "a: 1");
  Watched watched(folder.path.string() + "/");
  folder.write("notes.txt", "x");
  CHECK(!watched.loop.run_until([&] { return watched.changes > 0; }, Millis(300)));
  folder.write("b.yml", "b: 1");
  CHECK(watched.sees_change());
  fs::remove(folder.path / "a.yaml");
  CHECK(watched.sees_change());
}

TEST_CASE("file watch: a directory that appears later is found by looking") {
  const Folder folder;
  Watched watched(folder.path / "later" / "config.yaml");
  fs::create_directory(folder.path / "later");
  folder.write("later/config.yaml", "a: 1");
  CHECK(watched.sees_change());
}

TEST_CASE("file watch: destroyed in its own callback or during a look, it is silent") {
  const Folder folder;
  folder.write("config.yaml", "a: 1");
  Loop loop;
  int changes = 0;
  std::unique_ptr<FileWatch> watch;
  watch = FileWatch::watch(loop, folder.path / "config.yaml", [&] {
    ++changes;
    watch.reset();
  });
  folder.write("config.yaml", "a: 22");
  CHECK(loop.run_until([&] { return changes == 1; }, kLong));
  for (int i = 0; i < 20; ++i) {
    auto brief = FileWatch::watch(loop, folder.path / "config.yaml", [] { FAIL("silent"); });
    loop.run_until([] { return false; }, Millis(1));
  }
}

}  // namespace hms::net
