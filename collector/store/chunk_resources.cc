#include "collector/store/chunk_resources.h"

#include "collector/store/stored_attribute.h"

namespace hms::collector {
namespace {

std::string content_of(const telemetry::BatchStorage& batch,
                       const telemetry::ResourceView& resource) {
  ColumnWriter content;
  content.text(resource.service_name);
  content.text(resource.service_instance);
  for (const telemetry::Attribute& a : attributes_in(batch, resource.attributes)) {
    content.text(a.key);
    content.u8(static_cast<uint8_t>(a.value.kind));
    content.text(attribute_text(a.value));
    content.real(a.value.real);
  }
  return content.bytes();
}

}  // namespace

uint32_t ResourceColumns::add(const telemetry::BatchStorage& batch, uint32_t index) {
  const Place wanted{&batch, index};
  auto& [last, number] = lately_[((reinterpret_cast<uintptr_t>(&batch) >> 5) + index) % 256];
  if (last == wanted) return number;
  last = wanted;
  const auto [place, fresh] = by_place_.try_emplace(wanted, 0);
  if (!fresh) return number = place->second;
  const telemetry::ResourceView& resource = batch.resources[index];
  const auto [it, added] = by_content_.try_emplace(content_of(batch, resource),
                                                   static_cast<uint32_t>(by_content_.size()));
  if (added) {
    names_.varint(dictionary_.add(resource.service_name));
    names_.varint(dictionary_.add(resource.service_instance));
    attributes_.add(attributes_in(batch, resource.attributes));
    sources_.push_back(wanted);
  }
  return number = place->second = it->second;
}

void ResourceColumns::write(ColumnWriter& out) const {
  out.varint(by_content_.size());
  out.raw(names_.bytes());
  attributes_.write(out);
}

void write_resource_section(const DictionaryWriter& dictionary, const ResourceColumns& resources,
                            ColumnWriter& out, Packing packing) {
  ColumnWriter content, senders;
  resources.write(senders);
  dictionary.write(content);
  content.raw(senders.bytes());
  out.varint(content.size());
  write_block(out, content.bytes(), packing);
}

void read_resource_section(ColumnReader& in, telemetry::BatchStorage& batch, BlockArena& arena) {
  const uint64_t size = in.varint();
  if (size > kMaxChunkBytes) return in.fail();
  ColumnReader content(read_block(in, size, arena));
  const DictionaryReader dictionary(content);
  read_resources(content, dictionary, batch);
  if (content.failed()) in.fail();
}

void read_resources(ColumnReader& in, const DictionaryReader& dictionary,
                    telemetry::BatchStorage& batch) {
  const size_t count = in.count(2);
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    telemetry::ResourceView resource;
    resource.service_name = dictionary.read(in);
    resource.service_instance = dictionary.read(in);
    batch.resources.push_back(resource);
  }
  if (in.failed()) return;
  const auto ranges = read_attribute_columns(in, dictionary, batch.attributes);
  if (ranges.size() != batch.resources.size()) return in.fail();
  for (size_t i = 0; i < ranges.size(); ++i) batch.resources[i].attributes = ranges[i];
}

}  // namespace hms::collector
