// thrift_compact.h: Thrift's compact protocol, as far as Parquet's footer and page headers need it.
//
// Writing: fields must rise within a struct. Reading never trusts: lengths are held against what is
// left, nesting against kMaxDepth; the first fault sets failed() and all later reads give zeros.
// Source: thrift-compact-protocol.md of Apache Thrift. Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hms::collector {

enum class ThriftType : uint8_t {
  stop = 0,
  true_value = 1,
  false_value = 2,
  i8 = 3,
  i16 = 4,
  i32 = 5,
  i64 = 6,
  real = 7,
  binary = 8,
  list = 9,
  set = 10,
  map = 11,
  structure = 12,
};

class ThriftWriter {
 public:
  /// The outermost struct is open from the start; `finish` ends it.
  void boolean(int16_t field, bool value);
  void i16(int16_t field, int16_t value);
  void i32(int16_t field, int32_t value);
  void i64(int16_t field, int64_t value);
  void binary(int16_t field, std::string_view value);
  void begin_struct(int16_t field);
  void end_struct();
  /// Elements follow: `element_*` or begin_element/end_struct, as many as announced.
  void begin_list(int16_t field, ThriftType element, size_t size);
  void element_i32(int32_t value);
  void element_binary(std::string_view value);
  void begin_element();
  [[nodiscard]] std::string finish();

 private:
  void header(int16_t field, ThriftType type);
  void varint(uint64_t value);
  std::string out_;
  int16_t last_ = 0;
  std::vector<int16_t> outer_;
};

class ThriftReader {
 public:
  explicit ThriftReader(std::string_view in) : in_(in), size_(in.size()) {}

  struct Field {
    int16_t id = 0;
    ThriftType type = ThriftType::stop;
  };
  /// Enters a struct (also the outermost), then `next` until it gives stop, which leaves it.
  void enter();
  [[nodiscard]] Field next();
  [[nodiscard]] bool boolean(const Field& field) const noexcept {
    return field.type == ThriftType::true_value;
  }
  /// i8, i16, i32 and i64 alike; any other type is a fault.
  [[nodiscard]] int64_t integer(const Field& field);
  [[nodiscard]] std::string_view binary(const Field& field);
  struct List {
    ThriftType element = ThriftType::stop;
    size_t size = 0;
  };
  [[nodiscard]] List list(const Field& field);
  [[nodiscard]] int64_t element_integer() { return zigzag(); }
  [[nodiscard]] std::string_view element_binary();
  void skip(const Field& field);

  [[nodiscard]] bool failed() const noexcept { return failed_; }
  void fail() noexcept { failed_ = true; }
  [[nodiscard]] size_t consumed() const noexcept { return size_ - in_.size(); }

 private:
  static constexpr size_t kMaxDepth = 16;
  uint8_t byte();
  uint64_t varint();
  int64_t zigzag();
  void skip_value(ThriftType type, size_t depth);
  std::string_view in_;
  size_t size_;
  bool failed_ = false;
  int16_t last_ = 0;
  std::vector<int16_t> outer_;
};

}  // namespace hms::collector
