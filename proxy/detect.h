// detect.h: what a connection's first bytes are: HTTP, a TLS greeting, or something else.
//
// Looks again at all bytes so far whenever more come, and says `undecided` only while they may
// still become an HTTP request line; the caller of this bounds the time. In doubt it is HTTP, whose
// parser refuses what is malformed: a request line with a fault in it must not slip past the guard
// as something else. Limits: 8 KiB to a decision; 4 KiB of a ClientHello. Thread: any. Tests:
// tests/unit/proxy/detect_test.cc, tests/fuzz/detect_fuzz.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hms::proxy {

enum class Wire : uint8_t { undecided, http, tls, other };

inline constexpr size_t kDetectBytes = 8 * 1024;
inline constexpr size_t kHelloBytes = 4 * 1024;

/// `first`: everything that the caller has sent so far.
[[nodiscard]] Wire classify(std::string_view first) noexcept;

/// Does a service that said this speak HTTP/1.x?
[[nodiscard]] bool is_http_reply(std::string_view first) noexcept;

/// The server name (SNI) of a TLS ClientHello, in small letters, every other character than those
/// of a host name as '?', at most 255; empty if it names none or is not one. Nothing: more bytes
/// are needed.
[[nodiscard]] std::optional<std::string> server_name_of(std::string_view hello);

}  // namespace hms::proxy
