// descriptors.h: the last descriptors of a process are kept back for its own files and for whoever
// asks how it is; callers and services do not get them.
//
// A new descriptor has the lowest free number, so one near the limit says that nearly all are
// taken: nothing has to be counted or held open. Off until `keep_descriptors_back` is called.
// Thread: any; a race between threads costs a descriptor or two of those kept back.
#pragma once

#include <cstdint>

namespace hms::net {

/// Takes all that the system allows this process (the hard limit); how many that are.
uint64_t raise_descriptor_limit() noexcept;

/// Keeps 16 back, or an eighth of a small limit (RLIMIT_NOFILE as it is now).
void keep_descriptors_back() noexcept;
/// Told of each new one that is a caller's or a service's. Cheap.
void note_new_descriptor(int descriptor) noexcept;
/// True if only those kept back are left. Cheap, but while they are short: then it looks.
[[nodiscard]] bool descriptors_are_short() noexcept;

}  // namespace hms::net
