#include "collector/lake/verify.h"

#include <algorithm>
#include <filesystem>

#include "collector/lake/digest.h"
#include "collector/lake/local_file.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kReadBytes = 4ULL * 1024 * 1024;

Error differs(const std::string& name, const std::string& what, const std::string& found,
              const std::string& expected) {
  return {Code::corrupt, net::Side::upstream, false,
          "lake: " + name + ": " + what + " is " + found + ", the manifest says " + expected};
}

/// A remote object's copy on this machine, removed at the end.
class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

class Verifier {
 public:
  Verifier(const LakeDestination& destination, const VerifyOptions& options)
      : destination_(destination), options_(options) {}

  Result<void> table(LakeTable which, const LakeTableManifest& manifest) {
    const TableSpec& spec = table_spec(which);
    TableTotals totals;
    for (const LakeObject& object : manifest.files) {
      if (auto read = data_file(object, spec, totals); !read.ok()) return read;
    }
    if (auto same = compare(spec, totals, manifest.totals); !same.ok()) return same;
    return manifest.trace_index ? index_file(*manifest.trace_index) : Result<void>();
  }

 private:
  Result<void> data_file(const LakeObject& object, const TableSpec& spec, TableTotals& totals) {
    return with_object(object, [&](const ParquetFile& file) -> Result<void> {
      if (auto columns = check_columns(file.meta(), spec); !columns.ok()) return columns;
      RowWriter row;
      bool stopped = false;
      auto read = each_row(file, spec, [&](const std::vector<ColumnValues>& columns, size_t index) {
        row_of_columns(spec, columns, index, row);
        totals.add(spec, row.bytes());
        stopped = totals.rows % 4'096 == 0 && options_.cancelled && options_.cancelled();
        return !stopped;
      });
      if (stopped)
        return Error{Code::canceled, net::Side::self, true, "lake: the verification was stopped"};
      return read;
    });
  }

  Result<void> index_file(const LakeObject& object) {
    return with_object(object, [](const ParquetFile& file) -> Result<void> {
      for (size_t group = 0; group < file.meta().row_groups.size(); ++group) {
        for (size_t column = 0; column < file.meta().columns.size(); ++column) {
          if (auto read = file.read(group, column); !read.ok()) return std::move(read).error();
        }
      }
      return {};
    });
  }

  template <class Use>
  Result<void> with_object(const LakeObject& object, const Use& use) {
    auto opened = destination_.open(object.name);
    if (!opened.ok()) return std::move(opened).error();
    std::shared_ptr<const LakeFile> file = std::move(opened).value();
    if (file->size() != object.bytes)
      return differs(object.name, "its length", std::to_string(file->size()),
                     std::to_string(object.bytes));
    const Scratch copy(options_.scratch_folder + "/verify.part");
    if (auto same = check_digest(object, file, copy); !same.ok()) return same;
    auto parquet = ParquetFile::open(file);
    if (!parquet.ok()) return in_object(object, std::move(parquet).error());
    if (static_cast<uint64_t>(parquet.value()->meta().rows) != object.rows)
      return differs(object.name, "its number of rows",
                     std::to_string(parquet.value()->meta().rows), std::to_string(object.rows));
    auto used = use(*parquet.value());
    return used.ok() ? used : in_object(object, std::move(used).error());
  }

  static Error in_object(const LakeObject& object, Error error) {
    error.detail = "lake: " + object.name + ": " + error.detail;
    return error;
  }

  /// Reads all of it once; `file` is its local copy afterwards if it was remote.
  Result<void> check_digest(const LakeObject& object, std::shared_ptr<const LakeFile>& file,
                            const Scratch& copy) {
    const bool remote = destination_.remote();
    std::optional<FileWriter> writer;
    if (remote) {
      auto created = FileWriter::create(copy.path());
      if (!created.ok()) return std::move(created).error();
      writer.emplace(std::move(created).value());
    }
    Sha256 digest;
    for (uint64_t at = 0; at < file->size(); at += kReadBytes) {
      auto bytes = file->read(at, std::min(kReadBytes, file->size() - at));
      if (!bytes.ok()) return std::move(bytes).error();
      digest.add(bytes.value());
      if (!writer) continue;
      if (auto written = writer->write(bytes.value()); !written.ok()) return written;
    }
    if (const std::string found = digest.finish_hex(); found != object.sha256)
      return differs(object.name, "its SHA-256", found, object.sha256);
    if (!writer) return {};
    if (auto closed = writer->close(); !closed.ok()) return closed;
    auto local = LocalFile::open(copy.path());
    if (!local.ok()) return std::move(local).error();
    file = std::move(local).value();
    return {};
  }

  static Result<void> compare(const TableSpec& spec, const TableTotals& found,
                              const TableTotals& expected) {
    const std::string name = "table " + std::string(spec.name);
    if (found.rows != expected.rows)
      return differs(name, "its number of rows", std::to_string(found.rows),
                     std::to_string(expected.rows));
    for (size_t i = 0; i < found.columns.size() && i < expected.columns.size(); ++i) {
      if (found.columns[i] == expected.columns[i]) continue;
      return differs(name, "the sum of " + spec.columns[i].name,
                     std::to_string(found.columns[i].sum), std::to_string(expected.columns[i].sum));
    }
    if (found.checksum != expected.checksum)
      return differs(name, "the checksum of its rows", std::to_string(found.checksum),
                     std::to_string(expected.checksum));
    return {};
  }

  const LakeDestination& destination_;
  const VerifyOptions& options_;
};

}  // namespace

Result<void> verify_day(const LakeDestination& destination, const LakeManifest& manifest,
                        const VerifyOptions& options) {
  Verifier verifier(destination, options);
  for (const LakeTable which : kLakeTables) {
    if (auto good = verifier.table(which, manifest.table(which)); !good.ok()) return good;
  }
  return {};
}

Result<void> check_columns(const ParquetMeta& meta, const TableSpec& spec) {
  bool same = meta.columns.size() == spec.columns.size();
  for (size_t i = 0; same && i < spec.columns.size(); ++i)
    same = meta.columns[i].name == spec.columns[i].name &&
           meta.columns[i].type == spec.columns[i].type;
  if (same) return {};
  return Error{Code::corrupt, net::Side::upstream, false,
               "its columns are not those of table " + std::string(spec.name)};
}

Result<void> each_row(const ParquetFile& file, const TableSpec& spec, const RowVisitor& visit) {
  for (size_t group = 0; group < file.meta().row_groups.size(); ++group) {
    std::vector<ColumnValues> columns;
    for (size_t column = 0; column < spec.columns.size(); ++column) {
      auto values = file.read(group, column);
      if (!values.ok()) return std::move(values).error();
      columns.push_back(std::move(values).value());
    }
    const auto rows = static_cast<size_t>(file.meta().row_groups[group].rows);
    for (size_t index = 0; index < rows; ++index) {
      if (!visit(columns, index)) return {};
    }
  }
  return {};
}

}  // namespace hms::collector
