#include "proxy/probe.h"

#include <cstdio>

#include "net/http/client.h"
#include "net/http/url.h"
#include "net/io/loop.h"

namespace hms::proxy {

int probe(const std::string& url) {
  if (const auto parsed = net::parse_url(url); !parsed.ok()) {
    std::fprintf(stderr, "hms-proxy: --probe: %s\n", parsed.error().detail.c_str());
    return 2;
  }
  net::Loop loop;
  int exit_code = 1;
  {
    const auto client = net::HttpClient::create(loop);
    net::ClientRequest request;
    request.url = url;
    request.timeout = net::Millis(5'000);
    const auto call = client->send(std::move(request), [&](net::Result<net::ClientReply> reply) {
      if (reply.ok() && reply->status / 100 == 2)
        exit_code = 0;
      else if (reply.ok())
        std::fprintf(stderr, "hms-proxy: %s answered %d\n", url.c_str(), reply->status);
      else
        std::fprintf(stderr, "hms-proxy: %s\n", net::to_string(reply.error()).c_str());
      loop.stop();
    });
    loop.run();
  }
  return exit_code;
}

}  // namespace hms::proxy
