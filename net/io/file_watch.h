// file_watch.h: tells when a file or a directory's *.yaml changed on disk.
//
// inotify through libuv on the parent directory (editors and Kubernetes replace files and symlinks
// rather than write them), debounced by 100 ms, and a stat every 1 s besides: network and overlay
// mounts give no events. So a change is seen within about 1 s.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/io/loop.h"

namespace hms::net {

class FileWatch {
 public:
  /// `on_change` comes whenever size, mtime, inode or (for a directory) the set of *.yaml/*.yml
  /// entries differs from what was last seen.
  static std::unique_ptr<FileWatch> watch(Loop& loop, std::string path,
                                          std::function<void()> on_change);
  virtual ~FileWatch() = default;
};

}  // namespace hms::net
