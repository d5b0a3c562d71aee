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
  row["CreatedAt"] = GoTimeText(image.created());
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
                  .more_headings = {{"Digest", "DIGEST"},
                                    {"CreatedAt", "CREATED AT"},
                                    {"Containers", "CONTAINERS"},
                                    {"VirtualSize", "SIZE"},
                                    {"SharedSize", "SHARED SIZE"},
                                    {"UniqueSize", "UNIQUE SIZE"}},
                  .type = "*formatter.imageContext"};
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

struct RemoveOptions {
  bool force = false, no_prune = false;
};

int RemoveImages(Session* session, const std::vector<std::string>& names,
                 const RemoveOptions& options) {
  int code = 0;
  for (const std::string& name : names) {
    ocid::v1::RemoveImageRequest request;
    request.set_image(name);
    request.set_force(options.force);
    request.set_no_prune(options.no_prune);
    ocid::v1::RemoveImageResponse response;
    grpc::ClientContext context;
    const Status status =
        session->Check(session->images().RemoveImage(&context, request, &response));
    if (!status.ok()) {
      // Forced, what is not there is no error.
      const int failed = Fail(NotFoundHere(status));
      if (!options.force || status.code() != StatusCode::kNotFound) code = failed;
      continue;
    }
    for (const auto& step : response.steps()) {
      fmt::print("{}: {}\n", step.has_untagged() ? "Untagged" : "Deleted",
                 step.has_untagged() ? step.untagged() : step.deleted());
    }
  }
  return code;
}

struct HistoryOptions {
  std::string format;
  bool quiet = false, no_trunc = false, human = true;
};

int ShowHistory(Session* session, const std::string& name, const HistoryOptions& options) {
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
                  .more_headings = {{"CreatedAt", "CREATED AT"}},
                  .type = "*formatter.historyContext"};
  for (int i = image.history_size() - 1; i >= 0; --i) {
    const auto& entry = image.history(i);
    OrderedJson row;
    const bool top = i == image.history_size() - 1;
    row["ID"] = !top ? "<missing>" : options.no_trunc ? image.id() : ShortId(image.id());
    row["CreatedAt"] = LocalRfc3339(entry.created());
    row["CreatedSince"] = options.human ? HumanDuration(NowUnixNanos() - entry.created()) + " ago"
                                        : LocalRfc3339(entry.created());
    std::string command = entry.created_by();
    if (!options.no_trunc) command = Ellipsis(command, 45);
    row["CreatedBy"] = command;
    row["Size"] = options.human ? HumanSize(entry.size()) : std::to_string(entry.size());
    row["Comment"] = entry.comment();
    if (options.quiet) fmt::print("{}\n", row["ID"].get<std::string>());
    listing.rows.push_back(row);
  }
  if (options.quiet) return 0;
  const auto text = FormatListing(listing, options.format);
  if (!text.ok()) return Fail(text.status());
  fmt::print("{}", *text);
  return 0;
}

}  // namespace

bool HasTag(const std::string& reference) {
  return reference.find('@') != std::string::npos ||
         reference.find(':', reference.find_last_of('/') + 1) != std::string::npos;
}

StatusOr<ocid::v1::PullImageProgress::Result> PullImage(Session* session,
                                                        const std::string& reference,
                                                        const std::string& platform, bool quiet,
                                                        FILE* out) {
  ocid::v1::PullImageRequest request;
  request.set_reference(reference);
  request.set_platform(platform);
  grpc::ClientContext context;
  const auto reader = session->images().PullImage(&context, request);
  ocid::v1::PullImageProgress event;
  PullProgress progress(quiet ? nullptr : out);
  ocid::v1::PullImageProgress::Result result;
  while (reader->Read(&event)) {
    progress.Show(event);
    if (event.has_result()) result = event.result();
  }
  const Status status = session->Check(reader->Finish());
  progress.End();
  RETURN_IF_ERROR(status);
  if (!quiet) {
    fmt::print(out, "Digest: {}\nStatus: {} {}\n", result.digest(),
               result.up_to_date() ? "Image is up to date for" : "Downloaded newer image for",
               result.familiar_reference());
  }
  return result;
}

namespace {

struct PullOptions {
  std::string platform;
  bool quiet = false;
};

int RunPull(Session* session, const std::string& reference, const PullOptions& options) {
  if (!HasTag(reference) && !options.quiet) fmt::print("Using default tag: latest\n");
  const auto pulled = PullImage(session, reference, options.platform, options.quiet, stdout);
  if (!pulled.ok()) return Fail(pulled.status());
  fmt::print("{}\n", pulled->reference());
  return 0;
}

int RunTag(Session* session, const std::string& source, const std::string& target) {
  ocid::v1::TagImageRequest request;
  request.set_source(source);
  request.set_target(target);
  ocid::v1::TagImageResponse response;
  grpc::ClientContext context;
  const Status status = session->Check(session->images().TagImage(&context, request, &response));
  return status.ok() ? 0 : Fail(status);
}

void AddListing(Command* app, Session* session) {
  auto options = std::make_shared<ImagesOptions>();
  const bool group = app->name() == "image";
  Command* images =
      app->Add(group ? "ls" : "images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", {0, 1},
               group ? std::vector<std::string>{"list"} : std::vector<std::string>{});
  images->Flag("-a,--all", &options->all, "Show all images (default hides intermediate images)");
  images->Flag("-q,--quiet", &options->quiet, "Only show image IDs");
  images->Flag("--no-trunc", &options->no_trunc, "Don't truncate output");
  images->Flag("--digests", &options->digests, "Show digests");
  images->List("-f,--filter", &options->filters, "Filter output based on conditions provided",
               CheckFilter);
  images->Option("--format", &options->format, "Pretty-print images using a Go template");
  images->run = [=] {
    if (!images->words().empty()) options->reference = images->word(0);
    return ListImages(session, *options);
  };
}

}  // namespace

void AddImageCommands(Command* app, Session* session) {
  const bool group = app->name() == "image";
  {
    auto options = std::make_shared<PullOptions>();
    Command* pull = app->Add("pull", "[OPTIONS] NAME[:TAG|@DIGEST]",
                             "Pull an image or a repository from a registry", {1, 1});
    pull->Option("--platform", &options->platform,
                 "Set platform if server is multi-platform capable");
    pull->Flag("-q,--quiet", &options->quiet, "Suppress verbose output");
    pull->run = [=] { return RunPull(session, pull->word(0), *options); };
  }
  AddListing(app, session);
  {
    auto options = std::make_shared<RemoveOptions>();
    Command* rmi = app->Add(
        group ? "rm" : "rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images",
        {1, Arity::kAny}, group ? std::vector<std::string>{"remove"} : std::vector<std::string>{});
    rmi->Flag("-f,--force", &options->force, "Force removal of the image");
    rmi->Flag("--no-prune", &options->no_prune, "Do not delete untagged parents");
    rmi->run = [=] { return RemoveImages(session, rmi->words(), *options); };
  }
  Command* tag = app->Add("tag", "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
                          "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", {2, 2});
  tag->run = [=] { return RunTag(session, tag->word(0), tag->word(1)); };
  {
    auto options = std::make_shared<HistoryOptions>();
    Command* history =
        app->Add("history", "[OPTIONS] IMAGE", "Show the history of an image", {1, 1});
    history->Option("--format", &options->format, "Pretty-print images using a Go template");
    history->Flag("-q,--quiet", &options->quiet, "Only show numeric IDs");
    history->Flag("--no-trunc", &options->no_trunc, "Don't truncate output");
    history->Flag("-H,--human", &options->human, "Print sizes and dates in human readable format");
    history->run = [=] { return ShowHistory(session, history->word(0), *options); };
  }
}

}  // namespace ocirun::ctl
