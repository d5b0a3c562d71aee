// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ocirun {

// The words of `text` between any of `separators`, without the empty ones. They borrow from `text`.
// Lists of the kernel's are split and compared word by word: a search for "cpu" finds "cpuset".
std::vector<std::string_view> SplitWords(std::string_view text, std::string_view separators);

// `text` without blanks, tabs and newlines around it; it borrows from it.
std::string_view Trim(std::string_view text);

// Whether they differ in the case of ASCII letters at most.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// The number that `text` begins with, as a file of the kernel's does; none of "max".
std::optional<uint64_t> LeadingNumber(std::string_view text);

}  // namespace ocirun
