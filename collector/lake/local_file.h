// local_file.h: the few things that the lake does with files of this machine, with errors that name
// them. Thread: one owner a file; LocalFile reads from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "collector/lake/parquet_reader.h"
#include "net/core/result.h"

namespace hms::collector {

/// "lake: /srv/lake/x: No space left on device"; no_space, not_found or io by `number`.
[[nodiscard]] net::Error file_error(const std::string& path, int number);

/// A new file, written from its beginning on.
class FileWriter {
 public:
  [[nodiscard]] static net::Result<FileWriter> create(const std::string& path);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();
  [[nodiscard]] net::Result<void> write(std::string_view bytes);
  /// Flushes to the disk and closes.
  [[nodiscard]] net::Result<void> sync();
  /// Closes without waiting for the disk (scratch files).
  [[nodiscard]] net::Result<void> close();

 private:
  FileWriter(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  net::Result<void> drain();
  int descriptor_;
  std::string path_;
  std::string buffer_;
};

/// An open file, read at any place.
class LocalFile final : public LakeFile {
 public:
  [[nodiscard]] static net::Result<std::shared_ptr<LocalFile>> open(const std::string& path);
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;
  ~LocalFile() override;
  [[nodiscard]] uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] net::Result<std::string> read(uint64_t offset, uint64_t length) const override;

 private:
  LocalFile(int descriptor, uint64_t size, std::string path)
      : descriptor_(descriptor), size_(size), path_(std::move(path)) {}
  const int descriptor_;
  const uint64_t size_;
  const std::string path_;
};

/// Renames within a directory and makes the new name durable.
[[nodiscard]] net::Result<void> rename_durably(const std::string& from, const std::string& to);

}  // namespace hms::collector
