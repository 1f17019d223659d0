// chunk_filter.h: what may be in a chunk, in a few bytes a record, so that a question for a rare
// word or value need not open every chunk.
//
// A Bloom filter of: every three bytes in a row of each text, folded (text_fold.h); of longer texts
// also some six bytes in a row, chosen by their content (below); and whole values (service,
// attributes ...). A text of at least three bytes that stands in a record sets all its bits, so a
// missing bit proves that it is in none. Three bytes tell rare words apart; they do not tell ids
// apart, because every chunk holds every three hexadecimal digits. Six do: of each seven six-byte
// groups in a row the one with the smallest hash is kept ("winnowing"), so a text of twelve bytes
// or more has at least one, and the same one wherever it stands.
// Version 1 folded A-Z alone: it is asked for a text's ASCII only.
// Form and hash: docs/storage-format.md, "Filter". Size: 64 bytes to 128 KiB. Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hms::collector {

class FilterBuilder {
 public:
  FilterBuilder();
  void add_text(std::string_view text);
  /// `kind` keeps the namespaces apart: 's' service, 'l' level, 'v' severity, 'a' attribute.
  void add_value(char kind, std::string_view value);
  void add_attribute(std::string_view key, std::string_view value);
  /// The stored filter, as small as its content allows.
  [[nodiscard]] std::string finish() const;

 private:
  void set(uint64_t hash);
  std::vector<uint64_t> bits_;
  std::vector<uint64_t> seen_;  // groups of three that were set already
};

class FilterQuestion {
 public:
  /// In any case.
  void need_text(std::string_view text);
  void need_value(char kind, std::string_view value);
  void need_attribute(std::string_view key, std::string_view value);
  [[nodiscard]] bool empty() const noexcept { return values_.empty() && texts_.empty(); }
  /// False only if no record of the chunk can fit. What is no filter may hold anything.
  [[nodiscard]] bool may_match(std::string_view filter) const noexcept;

 private:
  std::vector<uint64_t> values_;  // of any version
  std::vector<uint64_t> texts_;
  std::vector<uint64_t> texts_v1_;  // those that version 1 has
};

/// The hash of an attribute's element (part of the stored format).
[[nodiscard]] uint64_t attribute_hash(std::string_view key, std::string_view value) noexcept;
/// Four bytes that stand for a name of operation in summaries (part of the stored format).
[[nodiscard]] uint32_t name_hash(std::string_view name) noexcept;

}  // namespace hms::collector
