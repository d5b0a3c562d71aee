// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>

#include "ctl/commands/commands.h"
#include "ctl/commands/filters.h"
#include "ctl/output/progress.h"
#include "ctl/output/table.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

using ocid::v1::Image;

struct ImagesOptions {
  std::string reference, format;
  std::vector<std::string> filters;
  bool all = false, quiet = false, no_trunc = false, digests = false;
};

OrderedJson RowOf(const Image& image, const std::string& repository, const std::string& tag,
                  const std::string& digest, const ImagesOptions& options) {
  OrderedJson row;
  row["ID"] = options.no_trunc ? image.id() : ShortId(image.id());
  row["Repository"] = repository;
  row["Tag"] = tag;
  row["Digest"] = digest;
  const std::string age = HumanDuration(NowUnixNanos() - image.created()) + " ago";
  row["CreatedSince"] = image.created() == 0 ? "N/A" : age;
  row["CreatedAt"] = TimeText(image.created());
  row["Size"] = HumanSize(image.size());
  row["VirtualSize"] = HumanSize(image.size());
  row["Containers"] = "N/A";
  row["SharedSize"] = "N/A";
  row["UniqueSize"] = "N/A";
  return row;
}

std::string DigestFor(const Image& image, const std::string& repository) {
  for (const std::string& digest : image.repo_digests()) {
    const size_t at = digest.find('@');
    if (digest.substr(0, at) == repository) return digest.substr(at + 1);
  }
  return "<none>";
}

void AddRows(const Image& image, const ImagesOptions& options, Listing* listing) {
  const auto matches = [&](const std::string& tag) {
    return options.reference.empty() || tag == options.reference ||
           tag.substr(0, tag.rfind(':')) == options.reference ||
           options.reference.find('*') != std::string::npos;
  };
  for (const std::string& familiar : image.repo_tags()) {
    if (!matches(familiar)) continue;
    const size_t colon = familiar.rfind(':');
    const std::string repository = familiar.substr(0, colon);
    listing->rows.push_back(RowOf(image, repository, familiar.substr(colon + 1),
                                  DigestFor(image, repository), options));
  }
  if (image.repo_tags_size() > 0 || !options.reference.empty()) return;
  std::string repository = "<none>";
  if (image.repo_digests_size() > 0) {
    repository = image.repo_digests(0).substr(0, image.repo_digests(0).find('@'));
  }
  listing->rows.push_back(
      RowOf(image, repository, "<none>", DigestFor(image, repository), options));
}

int ListImages(Session* session, const ImagesOptions& options) {
  ocid::v1::ListImagesRequest request;
  request.set_all(options.all);
  request.set_reference(options.reference);
  const Status parsed = AddFilters(options.filters, request.mutable_filters());
  if (!parsed.ok()) return Fail(parsed);
  ocid::v1::ListImagesResponse response;
  grpc::ClientContext context;
  const Status status = session->Check(session->images().ListImages(&context, request, &response));
  if (!status.ok()) return Fail(status);
  Listing listing{.columns = {{"Repository", "REPOSITORY"},
                              {"Tag", "TAG"},
                              {"ID", "IMAGE ID"},
                              {"CreatedSince", "CREATED"},
                              {"Size", "SIZE"}},
                  .more_headings = {{"Digest", "DIGEST"}, {"CreatedAt", "CREATED AT"}}};
  if (options.digests) listing.columns.insert(listing.columns.begin() + 2, {"Digest", "DIGEST"});
  for (const Image& image : response.images()) AddRows(image, options, &listing);
  if (options.quiet) {
    std::vector<std::string> seen;
    for (const OrderedJson& row : listing.rows) {
      const auto id = row["ID"].get<std::string>();
      if (std::find(seen.begin(), seen.end(), id) == seen.end()) fmt::print("{}\n", id);
      seen.push_back(id);
    }
    return 0;
  }
  const auto text = FormatListing(listing, options.format);
  if (!text.ok()) return Fail(text.status());
  fmt::print("{}", *text);
  return 0;
}

int RemoveImages(Session* session, const std::vector<std::string>& names, bool force,
                 bool no_prune) {
  int code = 0;
  for (const std::string& name : names) {
    ocid::v1::RemoveImageRequest request;
    request.set_image(name);
    request.set_force(force);
    request.set_no_prune(no_prune);
    ocid::v1::RemoveImageResponse response;
    grpc::ClientContext context;
    const Status status =
        session->Check(session->images().RemoveImage(&context, request, &response));
    if (!status.ok()) {
      // Forced, what is not there is no error.
      const int failed = Fail(status);
      if (!force || status.code() != StatusCode::kNotFound) code = failed;
      continue;
    }
    for (const auto& step : response.steps()) {
      fmt::print("{}: {}\n", step.has_untagged() ? "Untagged" : "Deleted",
                 step.has_untagged() ? step.untagged() : step.deleted());
    }
  }
  return code;
}

int ShowHistory(Session* session, const std::string& name, const std::string& format, bool quiet,
                bool no_trunc) {
  ocid::v1::GetImageRequest request;
  request.set_image(name);
  Image image;
  grpc::ClientContext context;
  const Status status = session->Check(session->images().GetImage(&context, request, &image));
  if (!status.ok()) return Fail(status);
  Listing listing{.columns = {{"ID", "IMAGE"},
                              {"CreatedSince", "CREATED"},
                              {"CreatedBy", "CREATED BY"},
                              {"Size", "SIZE"},
                              {"Comment", "COMMENT"}},
                  .more_headings = {{"CreatedAt", "CREATED AT"}}};
  for (int i = image.history_size() - 1; i >= 0; --i) {
    const auto& entry = image.history(i);
    OrderedJson row;
    const bool top = i == image.history_size() - 1;
    row["ID"] = !top ? "<missing>" : no_trunc ? image.id() : ShortId(image.id());
    row["CreatedSince"] = HumanDuration(NowUnixNanos() - entry.created()) + " ago";
    row["CreatedAt"] = TimeText(entry.created());
    std::string command = entry.created_by();
    if (!no_trunc && command.size() > 45) command = command.substr(0, 44) + "…";
    row["CreatedBy"] = command;
    row["Size"] = HumanSize(entry.size());
    row["Comment"] = entry.comment();
    if (quiet) fmt::print("{}\n", row["ID"].get<std::string>());
    listing.rows.push_back(row);
  }
  if (quiet) return 0;
  const auto text = FormatListing(listing, format);
  if (!text.ok()) return Fail(text.status());
  fmt::print("{}", *text);
  return 0;
}

}  // namespace

int PullImage(Session* session, const std::string& typed, const std::string& platform, bool quiet,
              FILE* out) {
  const bool has_tag = typed.find('@') != std::string::npos ||
                       typed.find(':', typed.find_last_of('/') + 1) != std::string::npos;
  if (!has_tag && !quiet) fmt::print(out, "Using default tag: latest\n");
  ocid::v1::PullImageRequest request;
  request.set_reference(typed);
  request.set_platform(platform);
  grpc::ClientContext context;
  const auto reader = session->images().PullImage(&context, request);
  ocid::v1::PullImageProgress event;
  PullProgress progress(quiet ? nullptr : out);
  std::string familiar;
  while (reader->Read(&event)) {
    progress.Show(event);
    if (event.has_result()) familiar = event.result().familiar_reference();
  }
  const Status status = session->Check(reader->Finish());
  progress.End();
  if (!status.ok()) return Fail(status);
  if (!quiet) {
    const auto& result = event.result();
    fmt::print(out, "Digest: {}\nStatus: {} {}\n", result.digest(),
               result.up_to_date() ? "Image is up to date for" : "Downloaded newer image for",
               familiar);
  }
  // docker.io is shown here, as in Docker.
  fmt::print(out, "{}\n", quiet || out == stdout ? event.result().reference() : "");
  return 0;
}

void AddImageCommands(CLI::App* app, Session* session) {
  {
    struct Options {
      std::string name, platform;
      bool quiet = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* pull = app->add_subcommand("pull", "Download an image from a registry");
    pull->add_option("image", options->name, "NAME[:TAG|@DIGEST]")->required();
    pull->add_option("--platform", options->platform, "Pull for this platform");
    pull->add_flag("-q,--quiet", options->quiet, "Print only the reference");
    pull->callback([=] {
      session->run = [=] {
        return PullImage(session, options->name, options->platform, options->quiet, stdout);
      };
    });
  }
  {
    auto options = std::make_shared<ImagesOptions>();
    for (const char* name : {"images", "ls"}) {
      if (std::string(name) == "ls" && app->get_name() != "image") continue;
      CLI::App* images = app->add_subcommand(name, "List images");
      images->add_option("reference", options->reference, "REPOSITORY[:TAG]");
      images->add_flag("-a,--all", options->all, "Show all images");
      images->add_flag("-q,--quiet", options->quiet, "Only show image IDs");
      images->add_flag("--no-trunc", options->no_trunc, "Don't truncate output");
      images->add_flag("--digests", options->digests, "Show digests");
      images->add_option("-f,--filter", options->filters, "Filter output")->allow_extra_args(false);
      images->add_option("--format", options->format, "Format output with a template");
      images->callback([=] { session->run = [=] { return ListImages(session, *options); }; });
    }
  }
  {
    struct Options {
      std::vector<std::string> names;
      bool force = false, no_prune = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* rmi =
        app->add_subcommand(app->get_name() == "image" ? "rm" : "rmi", "Remove one or more images");
    rmi->add_option("image", options->names, "Images")->required();
    rmi->add_flag("-f,--force", options->force, "Force removal of the image");
    rmi->callback([=] {
      session->run = [=] {
        return RemoveImages(session, options->names, options->force, options->no_prune);
      };
    });
  }
  {
    auto names = std::make_shared<std::pair<std::string, std::string>>();
    CLI::App* tag =
        app->add_subcommand("tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE");
    tag->add_option("source", names->first, "SOURCE_IMAGE[:TAG]")->required();
    tag->add_option("target", names->second, "TARGET_IMAGE[:TAG]")->required();
    tag->callback([=] {
      session->run = [=] {
        ocid::v1::TagImageRequest request;
        request.set_source(names->first);
        request.set_target(names->second);
        ocid::v1::TagImageResponse response;
        grpc::ClientContext context;
        const Status status =
            session->Check(session->images().TagImage(&context, request, &response));
        return status.ok() ? 0 : Fail(status);
      };
    });
  }
  {
    struct Options {
      std::string name, format;
      bool quiet = false, no_trunc = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* history = app->add_subcommand("history", "Show the history of an image");
    history->add_option("image", options->name, "IMAGE")->required();
    history->add_option("--format", options->format, "Format output with a template");
    history->add_flag("-q,--quiet", options->quiet, "Only show image IDs");
    history->add_flag("--no-trunc", options->no_trunc, "Don't truncate output");
    history->callback([=] {
      session->run = [=] {
        return ShowHistory(session, options->name, options->format, options->quiet,
                           options->no_trunc);
      };
    });
  }
}

}  // namespace ocirun::ctl
