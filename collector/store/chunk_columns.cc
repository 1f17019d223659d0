#include "collector/store/chunk_columns.h"

#include <bit>
#include <cstring>

#include "net/http/compress.h"

namespace hms::collector {

void ColumnWriter::varint(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<char>((value & 0x7F) | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<char>(value));
}

void ColumnWriter::zigzag(int64_t value) {
  varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void ColumnWriter::real(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) u8(static_cast<uint8_t>(bits >> shift));
}

void ColumnWriter::text(std::string_view bytes) {
  varint(bytes.size());
  raw(bytes);
}

uint64_t ColumnReader::long_varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = u8();
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  failed_ = true;
  return 0;
}

double ColumnReader::real() {
  uint64_t bits = 0;
  for (int shift = 0; shift < 64; shift += 8) bits |= static_cast<uint64_t>(u8()) << shift;
  return std::bit_cast<double>(bits);
}

std::string_view ColumnReader::raw(size_t length) {
  if (length > in_.size()) {
    failed_ = true;
    return {};
  }
  const std::string_view bytes = in_.substr(0, length);
  in_.remove_prefix(length);
  return bytes;
}

std::string_view ColumnReader::text() { return raw(varint()); }

size_t ColumnReader::count(size_t least_bytes) {
  const uint64_t value = varint();
  if (value > in_.size() / least_bytes) {
    failed_ = true;
    return 0;
  }
  return value;
}

size_t TextHash::operator()(std::string_view text) const noexcept {
  uint64_t hash = text.size() * 0x9E3779B97F4A7C15ULL;
  while (text.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    hash = (hash ^ word) * 0xBF58476D1CE4E5B9ULL;
    hash ^= hash >> 29;
    text.remove_prefix(8);
  }
  uint64_t rest = 0;
  if (!text.empty()) std::memcpy(&rest, text.data(), text.size());
  hash = (hash ^ rest) * 0x94D049BB133111EBULL;
  return hash ^ (hash >> 31);
}

uint32_t DictionaryWriter::add(std::string_view text) {
  const auto [it, added] = indices_.try_emplace(text, static_cast<uint32_t>(texts_.size()));
  if (added) texts_.push_back(text);
  return it->second;
}

void DictionaryWriter::write(ColumnWriter& out) const {
  out.varint(texts_.size());
  for (const std::string_view text : texts_) out.text(text);
}

DictionaryReader::DictionaryReader(ColumnReader& in) {
  const size_t size = in.count();
  texts_.reserve(size);
  for (size_t i = 0; i < size && !in.failed(); ++i) texts_.push_back(in.text());
}

std::string_view DictionaryReader::read(ColumnReader& in) const { return at(in.varint(), in); }

std::string_view DictionaryReader::at(uint64_t index, ColumnReader& in) const {
  if (index < texts_.size()) return texts_[index];
  in.fail();
  return {};
}

std::string seal_chunk(uint8_t version, std::string_view columns) {
  std::string stored(1, static_cast<char>(version));
  stored += net::zstd_encode(columns, 3);
  return stored;
}

net::Error corrupt_chunk(const char* kind) {
  return {net::Code::corrupt, net::Side::self, false,
          std::string(kind) + ": columns do not fit together"};
}

net::Result<void> check_version(uint8_t version, std::string_view stored) {
  if (stored.empty()) return net::Error{net::Code::corrupt, net::Side::self, false, "empty chunk"};
  const auto found = static_cast<uint8_t>(stored.front());
  if (found != version) {
    return net::Error{net::Code::unsupported, net::Side::self, false,
                      "chunk of format version " + std::to_string(found) + ", this program reads " +
                          std::to_string(version)};
  }
  return {};
}

net::Result<std::string> open_chunk(uint8_t version, std::string_view stored) {
  if (auto checked = check_version(version, stored); !checked) return std::move(checked).error();
  return net::zstd_decode(stored.substr(1), kMaxChunkBytes);
}

}  // namespace hms::collector
