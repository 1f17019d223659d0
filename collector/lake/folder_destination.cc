// folder_destination.cc: a lake in a folder. An object is written beside its name and renamed, so
// that a name always stands for a whole object.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "collector/lake/destination.h"
#include "collector/lake/local_file.h"
#include "net/core/errno_text.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
namespace fs = std::filesystem;

constexpr std::string_view kUnfinished = ".part";
constexpr uint64_t kCopyBytes = 1024 * 1024;
constexpr size_t kMaxListed = 1'000'000;

class FolderDestination final : public LakeDestination {
 public:
  explicit FolderDestination(std::string root) : root_(std::move(root)) {}

  std::string describe() const override { return "folder " + root_; }

  bool remote() const noexcept override { return false; }

  Result<void> put_file(const std::string& name, const std::string& path) const override {
    auto from = LocalFile::open(path);
    if (!from.ok()) return std::move(from).error();
    const LocalFile& file = *from.value();
    return store(name, [&file](FileWriter& out) -> Result<void> {
      for (uint64_t at = 0; at < file.size(); at += kCopyBytes) {
        auto bytes = file.read(at, std::min(kCopyBytes, file.size() - at));
        if (!bytes.ok()) return std::move(bytes).error();
        if (auto written = out.write(bytes.value()); !written.ok()) return written;
      }
      return {};
    });
  }

  Result<void> put(const std::string& name, std::string_view bytes) const override {
    return store(name, [bytes](FileWriter& out) { return out.write(bytes); });
  }

  Result<std::shared_ptr<const LakeFile>> open(const std::string& name) const override {
    auto file = LocalFile::open(path_of(name));
    if (!file.ok()) {
      // A folder that is away (an unmounted disk) is not the same as an object that is not there.
      std::error_code fault;
      if (file.error().code == Code::not_found && !fs::is_directory(root_, fault))
        return Error{Code::unavailable, net::Side::upstream, true,
                     "lake: folder " + root_ + " is not there"};
      return std::move(file).error();
    }
    return std::shared_ptr<const LakeFile>(std::move(file).value());
  }

  Result<std::vector<std::string>> list(const std::string& prefix) const override {
    std::vector<std::string> out;
    std::error_code fault;
    auto it = fs::recursive_directory_iterator(root_, fault);
    if (fault)
      return Error{Code::unavailable, net::Side::upstream, true,
                   "lake: folder " + root_ + ": " + fault.message()};
    for (; it != fs::recursive_directory_iterator(); it.increment(fault)) {
      if (fault) return file_error(root_, fault.value());
      if (!it->is_regular_file(fault)) continue;
      std::string name = it->path().lexically_relative(root_).generic_string();
      const bool unfinished =
          name.size() >= kUnfinished.size() &&
          std::string_view(name).substr(name.size() - kUnfinished.size()) == kUnfinished;
      if (!unfinished && name.rfind(prefix, 0) == 0) out.push_back(std::move(name));
      if (out.size() >= kMaxListed) break;
    }
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  std::string path_of(const std::string& name) const { return root_ + "/" + name; }

  template <class Fill>
  Result<void> store(const std::string& name, const Fill& fill) const {
    const std::string path = path_of(name);
    std::error_code fault;
    fs::create_directories(fs::path(path).parent_path(), fault);
    if (fault) return file_error(fs::path(path).parent_path().string(), fault.value());
    const std::string unfinished = path + std::string(kUnfinished);
    auto out = FileWriter::create(unfinished);
    if (!out.ok()) return std::move(out).error();
    FileWriter writer = std::move(out).value();
    if (auto filled = fill(writer); !filled.ok()) return filled;
    if (auto synced = writer.sync(); !synced.ok()) return synced;
    return rename_durably(unfinished, path);
  }

  const std::string root_;
};

Error bad_folder(const std::string& path, const std::string& why) {
  return {Code::bad_config, net::Side::self, false, "lake: folder " + path + ": " + why};
}

}  // namespace

Result<std::unique_ptr<LakeDestination>> open_folder_destination(const std::string& path) {
  struct stat info {};
  std::string clean = path;
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  if (::stat(clean.c_str(), &info) != 0) {
    if (errno != ENOENT) return bad_folder(clean, net::errno_text(errno));
    if (::mkdir(clean.c_str(), 0750) != 0)
      return bad_folder(clean, std::string("cannot be created: ") + net::errno_text(errno));
  } else if (!S_ISDIR(info.st_mode)) {
    return bad_folder(clean, "is not a directory");
  }
  if (::access(clean.c_str(), R_OK | X_OK) != 0) return bad_folder(clean, "is not readable");
  return std::unique_ptr<LakeDestination>(std::make_unique<FolderDestination>(clean));
}

Result<std::string> read_object(const LakeDestination& destination, const std::string& name,
                                uint64_t max_bytes) {
  auto file = destination.open(name);
  if (!file.ok()) return std::move(file).error();
  if (file.value()->size() > max_bytes)
    return Error{Code::too_large, net::Side::upstream, false,
                 "lake: " + name + " is larger than " + std::to_string(max_bytes) + " bytes"};
  return file.value()->read(0, file.value()->size());
}

}  // namespace hms::collector
