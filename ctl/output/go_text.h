// SPDX-License-Identifier: Apache-2.0
//
// Values as Go prints and escapes them, for templates.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace ocirun::ctl {

// As %v: "map[a:1 b:[x y]]", "<no value>" for null.
std::string TextOf(const OrderedJson& value);

// Of what a JSON document holds once Go has read it: "string", "map[string]interface {}".
const char* TypeName(const OrderedJson& value);

// strconv.Quote.
std::string Quote(const std::string& text);

// fmt.Sprintf: verbs v s q d t x X o b c U e f g and %%, with flags, width and precision. What does
// not fit is printed as Go does it: "%!d(string=x)", "%!d(MISSING)", "%!(EXTRA int=1)".
std::string GoPrintf(const std::string& format, const std::vector<OrderedJson>& arguments);

// template.HTMLEscapeString, JSEscapeString, URLQueryEscaper.
std::string HtmlEscape(const std::string& text);
std::string JsEscape(const std::string& text);
std::string QueryEscape(const std::string& text);

}  // namespace ocirun::ctl
