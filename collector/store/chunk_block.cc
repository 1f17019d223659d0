#include "collector/store/chunk_block.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "net/http/compress.h"

namespace hms::collector {
namespace {

enum class Codec : uint8_t { plain = 0, zstd = 1, repeated = 2 };
constexpr int kLevel = 3;
constexpr size_t kWorthPacking = 32;

/// Whether an entropy coder could take away more than a twentieth, or there may be repetitions:
/// noise (the low bytes of times) is not worth the attempt.
bool may_shrink(std::string_view bytes) {
  constexpr size_t kSample = 4'096;
  if (bytes.size() < kSample) return true;
  std::array<uint32_t, 256> counts{};
  for (const char c : bytes.substr(0, kSample)) ++counts[static_cast<uint8_t>(c)];
  double bits = 0;
  for (const uint32_t count : counts) {
    if (count > 0) bits += count * std::log2(static_cast<double>(kSample) / count);
  }
  // Of 4,096 truly random bytes the estimate is about 7.95 bits.
  return bits / kSample < 7.6;
}

}  // namespace

void pack_whole(std::string_view columns, std::string& out) {
  thread_local net::ZstdPacker packer;
  packer.pack(columns, 1, out);
}

net::Result<std::string> unpack_whole(std::string_view frame) {
  return net::zstd_decode(frame, kMaxChunkBytes);
}

void write_block(ColumnWriter& out, std::string_view bytes, Packing packing) {
  if (!bytes.empty() && bytes.size() <= kMaxChunkRows &&
      bytes.find_first_not_of(bytes.front()) == std::string_view::npos) {
    out.u8(static_cast<uint8_t>(Codec::repeated));
    out.u8(static_cast<uint8_t>(bytes.front()));
    return;
  }
  if (packing == Packing::each_block && bytes.size() >= kWorthPacking && may_shrink(bytes)) {
    thread_local net::ZstdPacker packer;
    thread_local std::string packed;
    packed.clear();
    packer.pack(bytes, kLevel, packed);
    if (packed.size() + 4 < bytes.size()) {
      out.u8(static_cast<uint8_t>(Codec::zstd));
      out.text(packed);
      return;
    }
  }
  out.u8(static_cast<uint8_t>(Codec::plain));
  out.raw(bytes);
}

void write_numbers(ColumnWriter& out, std::span<const uint64_t> values, Packing packing) {
  int64_t least = values.empty() ? 0 : std::numeric_limits<int64_t>::max();
  int64_t most = values.empty() ? 0 : std::numeric_limits<int64_t>::min();
  for (const uint64_t value : values) {
    least = std::min(least, static_cast<int64_t>(value));
    most = std::max(most, static_cast<int64_t>(value));
  }
  uint64_t range = static_cast<uint64_t>(most) - static_cast<uint64_t>(least);
  unsigned width = 0;
  for (; range != 0; range >>= 8) ++width;
  out.zigzag(least);
  out.u8(static_cast<uint8_t>(width));
  std::string plane(values.size(), '\0');
  for (unsigned shift = 0; shift < width * 8; shift += 8) {
    for (size_t i = 0; i < values.size(); ++i)
      plane[i] = static_cast<char>((values[i] - static_cast<uint64_t>(least)) >> shift);
    write_block(out, plane, packing);
  }
}

void write_texts(ColumnWriter& out, std::span<const std::string_view> texts, Packing packing) {
  std::vector<uint64_t> lengths;
  std::string bytes;
  lengths.reserve(texts.size());
  for (const std::string_view text : texts) {
    lengths.push_back(text.size());
    bytes += text;
  }
  write_numbers(out, lengths, packing);
  write_block(out, bytes, packing);
}

// ---------------------------------------------------------------- reading

std::string_view BlockArena::keep(std::string bytes) {
  bytes_ += bytes.size();
  return pieces_.emplace_back(std::move(bytes));
}

bool BlockArena::unpack(std::string_view frame, size_t size, std::string_view& bytes) {
  if (size > kMaxChunkBytes - std::min<size_t>(bytes_, kMaxChunkBytes)) return false;
  auto unpacked = net::zstd_decode_exact(frame, size);
  if (!unpacked) return false;
  bytes = keep(std::move(unpacked).value());
  return true;
}

bool BlockArena::repeat(char byte, size_t size, std::string_view& bytes) {
  if (size > kMaxChunkRows) return false;
  bytes = keep(std::string(size, byte));
  return true;
}

std::string_view read_block(ColumnReader& in, size_t size, BlockArena& arena) {
  std::string_view bytes;
  switch (static_cast<Codec>(in.u8())) {
    case Codec::plain:
      return in.raw(size);
    case Codec::zstd:
      if (const auto frame = in.text(); in.failed() || !arena.unpack(frame, size, bytes)) in.fail();
      return bytes;
    case Codec::repeated:
      if (const auto byte = static_cast<char>(in.u8()); !arena.repeat(byte, size, bytes)) in.fail();
      return bytes;
  }
  in.fail();
  return {};
}

Numbers Numbers::read(ColumnReader& in, size_t count, BlockArena& arena) {
  Numbers numbers;
  numbers.least_ = static_cast<uint64_t>(in.zigzag());
  const uint8_t width = in.u8();
  if (width > 8 || count > kMaxChunkRows) in.fail();
  for (size_t plane = 0; plane < width && !in.failed(); ++plane) {
    const std::string_view bytes = read_block(in, count, arena);
    if (bytes.size() != count) in.fail();
    numbers.planes_[plane] = bytes.data();
  }
  if (in.failed()) return {};
  numbers.size_ = count;
  numbers.width_ = width;
  return numbers;
}

std::vector<uint64_t> Numbers::all() const {
  std::vector<uint64_t> values(size_, least_);
  for (size_t plane = 0; plane < width_; ++plane) {
    const char* const bytes = planes_[plane];
    for (size_t i = 0; i < size_; ++i)
      values[i] += static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * plane);
  }
  return values;
}

bool Numbers::below(uint64_t bound) const {
  if (width_ == 0) return size_ == 0 || least_ < bound;
  if (width_ > 2 || least_ >= bound) {
    for (size_t i = 0; i < size_; ++i) {
      if (at(i) >= bound) return false;
    }
    return true;
  }
  // Nearly all codes are this short: a loop without branches.
  unsigned most = 0;
  for (size_t i = 0; i < size_; ++i) {
    const unsigned high = width_ == 2 ? static_cast<uint8_t>(planes_[1][i]) : 0;
    most = std::max(most, static_cast<uint8_t>(planes_[0][i]) | high << 8);
  }
  return least_ + most < bound;
}

void Numbers::find(uint64_t value, std::vector<uint32_t>& rows) const {
  const uint64_t offset = value - least_;
  if (width_ < 8 && offset >> (8 * width_) != 0) return;
  const char* const low = planes_[0];
  for (size_t i = 0; i < size_; ++i) {
    if ((width_ == 0 || static_cast<uint8_t>(low[i]) == (offset & 0xFF)) && at(i) == value)
      rows.push_back(static_cast<uint32_t>(i));
  }
}

Texts Texts::read(ColumnReader& in, size_t count, BlockArena& arena) {
  Texts texts;
  const Numbers lengths = Numbers::read(in, count, arena);
  if (in.failed()) return texts;
  texts.ends_.reserve(count);
  uint64_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t length = lengths.at(i);
    if (length > kMaxChunkBytes || end + length > kMaxChunkBytes) {
      in.fail();
      return {};
    }
    texts.ends_.push_back(static_cast<uint32_t>(end += length));
  }
  texts.bytes_ = read_block(in, end, arena);
  if (in.failed()) return {};
  return texts;
}

}  // namespace hms::collector
