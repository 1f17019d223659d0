// keys.h: the first byte of every key, so that the tables of one family never meet.
// docs/storage-format.md describes each in full. Numbers inside keys are big-endian, so that
// bytewise order is numeric order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hms::collector {

enum class Table : uint8_t {
  // day families
  span_chunk = 0x10,     // chunk number -> columnar spans, zstd
  trace_index = 0x11,    // trace id prefix, chunk number -> ""
  trace_summary = 0x12,  // service, newest start, chunk number -> what it did in the chunk's traces
  span_head = 0x13,      // chunk number: small, to be merged into a full one
  span_filter = 0x14,    // chunk number -> which attributes may be in it
  span_ids = 0x15,       // chunk number -> ids and times of a full chunk
  log_chunk = 0x20,
  log_index = 0x21,
  log_filter = 0x22,  // as log_chunk -> what texts and values may be in it
  log_head = 0x23,    // chunk number: small, to be merged; without a number: the next one
  series_log = 0x30,  // metric points as they came, until sealed into chunks
  series_chunk = 0x31,
  series_exemplar = 0x32,
  series_rollup = 0x33,     // points of a past day, thinned to a minute and to an hour
  series_compacted = 0x34,  // mark of a day whose chunks are packed and thinned
  series_sums = 0x35,       // what a past day's points come to, by the minute and by the hour
  service_edge = 0x40,      // the service map's nodes and edges in slots of ten seconds
  retention_mark = 0x50,    // signal -> which services were taken out of the day
  // meta
  schema = 0x01,      // format version
  batch_mark = 0x02,  // sender -> high-water mark and the gaps below it
  catalogue = 0x03,   // services and operations seen
  series_definition = 0x04,
  alert_state = 0x05,
  silence = 0x06,
  canary = 0x07,
  canary_record = 0x08,
  lake_day = 0x0A,  // day -> how far it is on its way to the lake
  audit = 0x0B,     // when -> who asked for traces and logs of marked services
};

inline void append_u8(std::string& out, uint8_t v) { out.push_back(static_cast<char>(v)); }
inline void append_be32(std::string& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>((v >> shift) & 0xFF));
}
inline void append_be64(std::string& out, uint64_t v) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>((v >> shift) & 0xFF));
}
inline uint32_t read_be32(std::string_view in) noexcept {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v = (v << 8) | static_cast<uint8_t>(in[i]);
  return v;
}
inline uint64_t read_be64(std::string_view in) noexcept {
  uint64_t v = 0;
  for (size_t i = 0; i < 8; ++i) v = (v << 8) | static_cast<uint8_t>(in[i]);
  return v;
}
[[nodiscard]] inline std::string table_key(Table table) {
  return std::string(1, static_cast<char>(table));
}

}  // namespace hms::collector
