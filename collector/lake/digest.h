// digest.h: SHA-256 and HMAC-SHA-256: checksums of the lake's objects and signatures of its
// requests. Only digest.cc knows OpenSSL here. Thread: values.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace hms::collector {

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void add(std::string_view bytes);
  /// 64 hexadecimal digits. Once.
  [[nodiscard]] std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// 32 bytes.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view text);
[[nodiscard]] std::string hex_text(std::string_view bytes);

}  // namespace hms::collector
