// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace ocirun::ctl {

// Columns padded to the widest cell and three spaces, and to ten characters at least, as Docker's
// tables; the last is not padded.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

struct Listing {
  // Key of the template and its heading: {"ID", "CONTAINER ID"}; in the default table's order.
  std::vector<std::pair<std::string, std::string>> columns;
  std::vector<std::pair<std::string, std::string>> more_headings;  // for `table {{.X}}`
  std::vector<OrderedJson> rows;
  std::string type = "*formatter.Context";  // of a row in Docker's client, for its messages
};

// By --format: empty = the default table, "json", "table TEMPLATE", or a template a row.
StatusOr<std::string> FormatListing(const Listing& listing, const std::string& format);

}  // namespace ocirun::ctl
