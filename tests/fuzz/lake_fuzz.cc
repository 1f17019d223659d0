// lake_fuzz.cc: a lake that lies: Parquet files and manifests of any bytes.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "collector/lake/attributes_json.h"
#include "collector/lake/manifest.h"
#include "collector/lake/parquet_reader.h"

using namespace hms::collector;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 0) {
    if (const auto manifest = decode_manifest(bytes); manifest.ok())
      static_cast<void>(decode_manifest(encode_manifest(*manifest)).ok());
    return 0;
  }
  if (data[0] % 4 == 1) {
    static_cast<void>(attributes_json(attributes_of_json(bytes)));
    static_cast<void>(events_of_json(bytes));
    static_cast<void>(links_of_json(bytes));
    static_cast<void>(labels_of(bytes));
    return 0;
  }
  const auto file = ParquetFile::open(std::make_shared<MemoryFile>(bytes));
  if (!file.ok()) return 0;
  const ParquetMeta& meta = file.value()->meta();
  for (size_t group = 0; group < std::min<size_t>(meta.row_groups.size(), 4); ++group) {
    for (size_t column = 0; column < meta.columns.size(); ++column) {
      const auto values = file.value()->read(group, column);
      const auto rows = static_cast<size_t>(meta.row_groups[group].rows);
      if (!values.ok()) continue;
      const ColumnValues& v = values.value();
      if (v.texts.size() + v.integers.size() + v.reals.size() != rows) __builtin_trap();
      for (const std::string_view text : v.texts) {
        if (!text.empty() && text.front() == text.back() && text.size() > 100'000'000)
          __builtin_trap();
      }
    }
  }
  return 0;
}
