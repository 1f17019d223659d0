#include "collector/lake/thrift_compact.h"

namespace hms::collector {
namespace {

uint64_t zigzag_of(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

}  // namespace

// ---------------------------------------------------------------- writing

void ThriftWriter::varint(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<char>(value));
}

void ThriftWriter::header(int16_t field, ThriftType type) {
  const int step = field - last_;
  if (step > 0 && step <= 15) {
    out_.push_back(static_cast<char>(step << 4 | static_cast<int>(type)));
  } else {
    out_.push_back(static_cast<char>(type));
    varint(zigzag_of(field));
  }
  last_ = field;
}

void ThriftWriter::boolean(int16_t field, bool value) {
  header(field, value ? ThriftType::true_value : ThriftType::false_value);
}
void ThriftWriter::i16(int16_t field, int16_t value) {
  header(field, ThriftType::i16);
  varint(zigzag_of(value));
}
void ThriftWriter::i32(int16_t field, int32_t value) {
  header(field, ThriftType::i32);
  varint(zigzag_of(value));
}
void ThriftWriter::i64(int16_t field, int64_t value) {
  header(field, ThriftType::i64);
  varint(zigzag_of(value));
}
void ThriftWriter::binary(int16_t field, std::string_view value) {
  header(field, ThriftType::binary);
  element_binary(value);
}
void ThriftWriter::begin_struct(int16_t field) {
  header(field, ThriftType::structure);
  begin_element();
}
void ThriftWriter::begin_element() {
  outer_.push_back(last_);
  last_ = 0;
}
void ThriftWriter::end_struct() {
  out_.push_back(0);
  last_ = outer_.back();
  outer_.pop_back();
}
void ThriftWriter::begin_list(int16_t field, ThriftType element, size_t size) {
  header(field, ThriftType::list);
  if (size < 15) {
    out_.push_back(static_cast<char>(size << 4 | static_cast<size_t>(element)));
  } else {
    out_.push_back(static_cast<char>(0xF0 | static_cast<unsigned>(element)));
    varint(size);
  }
}
void ThriftWriter::element_i32(int32_t value) { varint(zigzag_of(value)); }
void ThriftWriter::element_binary(std::string_view value) {
  varint(value.size());
  out_.append(value);
}
std::string ThriftWriter::finish() {
  out_.push_back(0);
  return std::move(out_);
}

// ---------------------------------------------------------------- reading

uint8_t ThriftReader::byte() {
  if (failed_ || in_.empty()) {
    failed_ = true;
    return 0;
  }
  const auto value = static_cast<uint8_t>(in_.front());
  in_.remove_prefix(1);
  return value;
}

uint64_t ThriftReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t part = byte();
    value |= static_cast<uint64_t>(part & 0x7F) << shift;
    if ((part & 0x80) == 0) return failed_ ? 0 : value;
  }
  failed_ = true;
  return 0;
}

int64_t ThriftReader::zigzag() {
  const uint64_t value = varint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

void ThriftReader::enter() {
  if (outer_.size() >= kMaxDepth) return fail();
  outer_.push_back(last_);
  last_ = 0;
}

ThriftReader::Field ThriftReader::next() {
  const uint8_t head = byte();
  const unsigned type = head & 15U;
  if (failed_ || type == 0 || type > static_cast<unsigned>(ThriftType::structure)) {
    if (type != 0) failed_ = true;
    if (!outer_.empty()) {
      last_ = outer_.back();
      outer_.pop_back();
    }
    return {};
  }
  const int64_t id = (head >> 4) != 0 ? last_ + (head >> 4) : zigzag();
  if (id < INT16_MIN || id > INT16_MAX) failed_ = true;
  last_ = static_cast<int16_t>(id);
  return {last_, static_cast<ThriftType>(type)};
}

int64_t ThriftReader::integer(const Field& field) {
  switch (field.type) {
    case ThriftType::i8:
      return static_cast<int8_t>(byte());
    case ThriftType::i16:
    case ThriftType::i32:
    case ThriftType::i64:
      return zigzag();
    case ThriftType::stop:
    case ThriftType::true_value:
    case ThriftType::false_value:
    case ThriftType::real:
    case ThriftType::binary:
    case ThriftType::list:
    case ThriftType::set:
    case ThriftType::map:
    case ThriftType::structure:
      break;
  }
  failed_ = true;
  return 0;
}

std::string_view ThriftReader::element_binary() {
  const uint64_t length = varint();
  if (failed_ || length > in_.size()) {
    failed_ = true;
    return {};
  }
  const std::string_view bytes = in_.substr(0, length);
  in_.remove_prefix(length);
  return bytes;
}

std::string_view ThriftReader::binary(const Field& field) {
  if (field.type == ThriftType::binary) return element_binary();
  failed_ = true;
  return {};
}

ThriftReader::List ThriftReader::list(const Field& field) {
  if (field.type != ThriftType::list && field.type != ThriftType::set) {
    failed_ = true;
    return {};
  }
  const uint8_t head = byte();
  const uint64_t size = (head >> 4) == 15 ? varint() : head >> 4;
  // Every element takes at least a byte.
  if (failed_ || size > in_.size() || (head & 15U) > static_cast<unsigned>(ThriftType::structure)) {
    failed_ = true;
    return {};
  }
  return {static_cast<ThriftType>(head & 15U), size};
}

void ThriftReader::skip(const Field& field) { skip_value(field.type, outer_.size()); }

void ThriftReader::skip_value(ThriftType type, size_t depth) {
  if (failed_ || depth > kMaxDepth) return fail();
  switch (type) {
    case ThriftType::true_value:
    case ThriftType::false_value:
      return;
    case ThriftType::i8:
      static_cast<void>(byte());
      return;
    case ThriftType::i16:
    case ThriftType::i32:
    case ThriftType::i64:
      static_cast<void>(varint());
      return;
    case ThriftType::real:
      for (int i = 0; i < 8; ++i) static_cast<void>(byte());
      return;
    case ThriftType::binary:
      static_cast<void>(element_binary());
      return;
    case ThriftType::list:
    case ThriftType::set: {
      const List elements = list({0, type});
      for (size_t i = 0; i < elements.size && !failed_; ++i) {
        const bool flag = elements.element == ThriftType::true_value ||
                          elements.element == ThriftType::false_value;
        if (flag)
          static_cast<void>(byte());  // in a list a flag takes a byte
        else
          skip_value(elements.element, depth + 1);
      }
      return;
    }
    case ThriftType::structure:
      enter();
      for (Field field = next(); !failed_ && field.type != ThriftType::stop; field = next())
        skip_value(field.type, depth + 1);
      return;
    case ThriftType::map:
    case ThriftType::stop:
      return fail();  // Parquet's footer has no maps
  }
}

}  // namespace hms::collector
