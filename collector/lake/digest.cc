#include "collector/lake/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "net/core/check.h"

namespace hms::collector {

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  HMS_ENSURE(state_->context &&
             EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
  HMS_ENSURE(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish_hex() {
  std::array<unsigned char, 32> out{};
  HMS_ENSURE(EVP_DigestFinal_ex(state_->context.get(), out.data(), nullptr) == 1);
  return hex_text({reinterpret_cast<const char*>(out.data()), out.size()});
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 digest;
  digest.add(bytes);
  return digest.finish_hex();
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, 32> out{};
  unsigned length = 0;
  HMS_ENSURE(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(),
                  &length) != nullptr);
  return {reinterpret_cast<const char*>(out.data()), length};
}

std::string hex_text(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace hms::collector
