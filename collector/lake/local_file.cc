#include "collector/lake/local_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "net/core/errno_text.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr size_t kBuffer = 256 * 1024;

}  // namespace

Error file_error(const std::string& path, int number) {
  Code code = Code::io;
  if (number == ENOSPC || number == EDQUOT) code = Code::no_space;
  if (number == ENOENT) code = Code::not_found;
  return {code, net::Side::self, true, "lake: " + path + ": " + net::errno_text(number)};
}

Result<FileWriter> FileWriter::create(const std::string& path) {
  const int descriptor =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (descriptor < 0) return file_error(path, errno);
  return FileWriter(descriptor, path);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      buffer_(std::move(other.buffer_)) {}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> FileWriter::write(std::string_view bytes) {
  buffer_ += bytes;
  return buffer_.size() >= kBuffer ? drain() : Result<void>();
}

Result<void> FileWriter::drain() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t written = ::write(descriptor_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file_error(path_, errno);
    left.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
  return {};
}

Result<void> FileWriter::sync() {
  if (auto drained = drain(); !drained.ok()) return drained;
  if (::fsync(descriptor_) != 0) return file_error(path_, errno);
  return close();
}

Result<void> FileWriter::close() {
  if (auto drained = drain(); !drained.ok()) return drained;
  if (::close(std::exchange(descriptor_, -1)) != 0) return file_error(path_, errno);
  return {};
}

Result<std::shared_ptr<LocalFile>> LocalFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return file_error(path, errno);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return Error{Code::io, net::Side::self, false, "lake: " + path + " is not a file"};
  }
  return std::shared_ptr<LocalFile>(
      new LocalFile(descriptor, static_cast<uint64_t>(info.st_size), path));
}

LocalFile::~LocalFile() { ::close(descriptor_); }

Result<std::string> LocalFile::read(uint64_t offset, uint64_t length) const {
  if (offset > size_ || length > size_ - offset)
    return Error{Code::corrupt, net::Side::self, false,
                 "lake: " + path_ + ": bytes beyond the end of the file"};
  std::string out(length, '\0');
  for (size_t done = 0; done < length;) {
    const ssize_t got =
        ::pread(descriptor_, out.data() + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error(path_, errno);
    if (got == 0)
      return Error{Code::corrupt, net::Side::self, false, "lake: " + path_ + " became shorter"};
    done += static_cast<size_t>(got);
  }
  return out;
}

Result<void> rename_durably(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return file_error(to, errno);
  const std::string folder = std::filesystem::path(to).parent_path().string();
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return file_error(folder, errno);
  const bool synced = ::fsync(descriptor) == 0;
  const int number = errno;
  ::close(descriptor);
  return synced ? Result<void>() : file_error(folder, number);
}

}  // namespace hms::collector
