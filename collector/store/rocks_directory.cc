#include "collector/store/rocks_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "collector/store/rocks_names.h"
#include "net/core/errno_text.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

Error bad_directory(const std::string& path, const std::string& why) {
  return {Code::bad_config, net::Side::self, false, "data directory " + path + ": " + why};
}

/// The process that holds the lock file, or 0.
pid_t lock_holder(const std::string& directory) {
  const int fd = ::open((directory + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool held = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(fd);
  return held ? lock.l_pid : 0;
}

}  // namespace

Result<void> prepare_directory(const std::string& path) {
  if (path.empty())
    return Error{Code::bad_config, net::Side::self, false,
                 "no data directory given; use --data DIR"};
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      std::filesystem::path clean(path);
      if (!clean.has_filename()) clean = clean.parent_path();  // a trailing slash
      const std::string parent = clean.has_parent_path() ? clean.parent_path().string() : ".";
      if (::stat(parent.c_str(), &info) != 0) {
        return bad_directory(path, "the directory above it, " + parent + ", cannot be used (" +
                                       net::errno_text(errno) + "); create it first");
      }
      if (!S_ISDIR(info.st_mode)) return bad_directory(path, parent + " is not a directory");
      if (::mkdir(path.c_str(), 0750) != 0)
        return bad_directory(path, "cannot be created: " + net::errno_text(errno));
      return {};
    }
    return bad_directory(path, net::errno_text(errno));
  }
  if (!S_ISDIR(info.st_mode)) return bad_directory(path, "is not a directory");
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    return bad_directory(path, "is not writable: " + net::errno_text(errno));
  struct statvfs fs {};
  if (::statvfs(path.c_str(), &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0)
    return bad_directory(path, "is on a read-only file system");
  return {};
}

Error open_error(const rocksdb::Status& status, const std::string& directory) {
  const std::string text = status.ToString();
  if (status.IsIOError() &&
      (text.find("/LOCK") != std::string::npos || text.find("lock hold by") != std::string::npos)) {
    const pid_t holder = lock_holder(directory);
    std::string who = "another process";
    if (holder > 0) who += " (" + std::to_string(holder) + ")";
    return bad_directory(directory, who + " holds the lock; stop it or use another --data");
  }
  if (status.IsCorruption() || text.find("Corruption") != std::string::npos) {
    return {Code::corrupt, net::Side::self, false,
            "data directory " + directory + " is damaged: " + text +
                "; nothing was changed: restore it from a copy, or move it away to start empty"};
  }
  return error_of(status, "data directory " + directory);
}

}  // namespace hms::collector
