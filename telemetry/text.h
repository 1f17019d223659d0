// text.h: texts made safe for those who write them out again: valid UTF-8, bounded, escaped for
// JSON. Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "telemetry/model.h"

namespace hms::telemetry {

inline constexpr size_t kMaxTextBytes = 64 * 1024;

/// True if every byte sequence is well-formed UTF-8 (Unicode table 3-7). Plain ASCII is passed
/// eight bytes at a time.
[[nodiscard]] bool is_valid_utf8(std::string_view text) noexcept;
/// A copy with U+FFFD in place of each byte that is part of no well-formed sequence.
[[nodiscard]] std::string repaired_utf8(std::string_view text);
/// At most `max_bytes`, never ending inside a character.
[[nodiscard]] std::string_view cut_utf8(std::string_view text, size_t max_bytes) noexcept;

/// The text as a batch may hand it on: cut to kMaxTextBytes (counted in `truncated`), repaired into
/// the arena if need be, else itself.
[[nodiscard]] std::string_view clean_text(BatchStorage& batch, std::string_view text);

/// Appends the text in quotation marks, escaped.
void append_json_text(std::string& out, std::string_view text);
/// Shortest digits that read back the same; NaN and infinities as the texts of the protobuf JSON
/// mapping.
void append_json_number(std::string& out, double value);
void append_base64(std::string& out, std::string_view bytes);

}  // namespace hms::telemetry
