// SPDX-License-Identifier: Apache-2.0
//
// Go's text/template, as much of it as --format uses: fields, range, if, else, with, end, pipes,
// variables, comparison, define, template and block, printf, slice, html, js and urlquery, and
// Docker's functions (json, join, lower, upper, title, split, pad, truncate).
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/status.h"

namespace ocirun::ctl {

class Template {
 public:
  // InvalidArgument "template parsing error: ...".
  static StatusOr<Template> Parse(const std::string& text);
  // InvalidArgument "template: :1:2: executing ... map has no entry for key X".
  StatusOr<std::string> Execute(const OrderedJson& data) const;

  struct Node;
  struct Root;

 private:
  std::shared_ptr<const Root> root_;
};

}  // namespace ocirun::ctl
