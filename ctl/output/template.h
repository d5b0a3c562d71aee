// SPDX-License-Identifier: Apache-2.0
//
// Go's text/template, as --format uses it, on JSON: its whole language, its functions but call, and
// Docker's (json, join, lower, upper, title, split, pad, truncate), with Go's messages.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/status.h"

namespace ocirun::ctl {

namespace go {
struct Tree;
}  // namespace go

class Template {
 public:
  // InvalidArgument "template parsing error: template: :1: ...".
  static StatusOr<Template> Parse(const std::string& text);
  // InvalidArgument "template parsing error: template: :1:2: executing "" at <.X>: ...". `type` is
  // what Docker's client has in place of the map, for the message of a field that is not there:
  // empty where that is a map, too.
  StatusOr<std::string> Execute(const OrderedJson& data, const std::string& type = "") const;

 private:
  std::shared_ptr<const go::Tree> tree_;
};

}  // namespace ocirun::ctl
