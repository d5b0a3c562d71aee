// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/table.h"

#include <algorithm>
#include <map>

#include "ctl/output/template.h"

namespace ocirun::ctl {
namespace {

// Of text/tabwriter, as Docker uses it: a column's least width has the padding in it.
constexpr size_t kMinWidth = 10;
constexpr size_t kPadding = 3;

// Characters as the terminal counts them: UTF-8's continuation bytes take no place.
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::string> SplitTabs(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == '\t') {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

// What the shell left of \t and \n.
std::string Unescape(std::string text) {
  for (const auto& [from, to] : {std::pair("\\t", "\t"), std::pair("\\n", "\n")}) {
    for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, 2, to);
  }
  return text;
}

// As encoding/json does inside of strings, which is the only place of these in a document.
std::string EscapeHtml(const std::string& json) {
  std::string text;
  for (const char c : json) {
    if (c == '<' || c == '>' || c == '&') {
      text += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      text += c;
    }
  }
  return text;
}

StatusOr<std::string> FormatTemplateTable(const Listing& listing, const std::string& text) {
  ASSIGN_OR_RETURN(const Template parsed, Template::Parse(text));
  OrderedJson headings;
  for (const auto& columns : {listing.columns, listing.more_headings}) {
    for (const auto& [key, heading] : columns) headings[key] = heading;
  }
  std::vector<std::vector<std::string>> rows;
  ASSIGN_OR_RETURN(const std::string head, parsed.Execute(headings));
  rows.push_back(SplitTabs(head));
  for (const OrderedJson& row : listing.rows) {
    ASSIGN_OR_RETURN(const std::string line, parsed.Execute(row, listing.type));
    rows.push_back(SplitTabs(line));
  }
  return FormatTable(rows);
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(kMinWidth);
      widths[i] = std::max(widths[i], Width(row[i]) + kPadding);
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - Width(row[i]), ' ');
    }
    text += '\n';
  }
  return text;
}

StatusOr<std::string> FormatListing(const Listing& unsorted, const std::string& raw) {
  Listing listing = unsorted;
  // Rows are maps in Go, and encoding/json sorts those.
  for (OrderedJson& row : listing.rows) {
    const auto sorted = row.get<std::map<std::string, OrderedJson>>();
    row = OrderedJson::object();
    for (const auto& [key, value] : sorted) row[key] = value;
  }
  const std::string format = Unescape(raw);
  std::string text;
  if (format == "json" || format == "{{json .}}") {
    for (const OrderedJson& row : listing.rows) text += EscapeHtml(row.dump()) + "\n";
    return text;
  }
  if (format.starts_with("table ")) return FormatTemplateTable(listing, format.substr(6));
  if (!format.empty() && format != "table") {
    ASSIGN_OR_RETURN(const Template parsed, Template::Parse(format));
    for (const OrderedJson& row : listing.rows) {
      ASSIGN_OR_RETURN(const std::string line, parsed.Execute(row, listing.type));
      text += line + "\n";
    }
    return text;
  }
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [key, heading] : listing.columns) rows[0].push_back(heading);
  for (const OrderedJson& row : listing.rows) {
    rows.emplace_back();
    for (const auto& [key, heading] : listing.columns) {
      rows.back().push_back(row[key].get<std::string>());
    }
  }
  return FormatTable(rows);
}

}  // namespace ocirun::ctl
