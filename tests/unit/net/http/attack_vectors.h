// attack_vectors.h: requests and replies that no proxy may forward, and neighbours that it must.
// Each is checked whole and cut.
//
// Sources: HTTP Garden payloads, smuggler.py's mutations, RFC 9112 sections 2.2, 3, 5, 6, 7;
// CVE-2023-30589, CVE-2024-27982, CVE-2024-22019.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hms::net {

struct Vector {
  const char* name;
  std::string bytes;
  int status;  // expected fault, 0 = accepted
};

inline std::string bytes_of(std::string_view text) { return std::string(text); }

inline std::string post(std::string_view fields, std::string_view body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
inline std::string get(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
inline std::string chunked(std::string_view chunks) {
  return post("Transfer-Encoding: chunked\r\n", chunks);
}

inline std::vector<Vector> request_vectors() {
  using namespace std::string_literals;
  return {
      {"a plain request", get(""), 0},
      {"a body with a length", post("Content-Length: 3\r\n", "abc"), 0},
      {"a chunked body", chunked("3\r\nabc\r\n0\r\n\r\n"), 0},
      {"chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), 0},
      {"pipelined requests",
       get("") + get("X: y\r\n") + post("Content-Length: 1\r\n", "a") + get(""), 0},
      {"one spare CRLF between requests", post("Content-Length: 1\r\n", "a") + "\r\n" + get(""), 0},
      {"an HTTP/1.0 request without Host", "GET / HTTP/1.0\r\n\r\n", 0},
      {"an empty value", get("X:\r\n"), 0},
      {"obs-text in a value", get("X: \xc3\xa9\r\n"), 0},
      {"a tab in a value", get("X: a\tb\r\n"), 0},
      {"an absolute target that agrees with Host", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"an absolute target with its default port", "GET http://A:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
       0},
      {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 0},
      {"an IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
      {"an upgrade", get("Connection: Upgrade\r\nUpgrade: websocket\r\n"), 0},
      {"a chunk extension", chunked("3;a=b\r\nabc\r\n0;x\r\n\r\n"), 0},
      {"a trailer", chunked("1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"), 0},
      {"a trailer that frames is dropped or refused by the parser", chunked("0\r\nX: 1\r\n\r\n"),
       0},

      // where a head ends
      {"head ended by CRLF CR X",
       "GET / HTTP/1.1\r\nHost: a\r\n\rXGET /b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CVE-2023-30589: CR hides a field",
       "GET / HTTP/1.1\r\nHost: a\r\nX:\rTransfer-Encoding: chunked\r\n\r\n", 400},
      {"CVE-2023-30589: CR x hides a field",
       "GET / HTTP/1.1\r\nHost: a\r\nX: y\rxTransfer-Encoding: chunked\r\n\r\n", 400},
      {"bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"bare CR behind a field", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400},
      {"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
      {"two leading CRLF", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a leading LF", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a leading CR", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a leading blank", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},

      // fields
      {"CVE-2024-27982: blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"folded value", get("X: a\r\n b\r\n"), 400},
      {"folded Content-Length", post("X: a\r\n Content-Length: 5\r\n", "hello"), 400},
      {"folded chunked", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
      {"folded with a tab", get("X: a\r\n\tb\r\n"), 400},
      {"empty field name", get(": v\r\n"), 400},
      {"blank before the colon", post("Content-Length : 5\r\n", "hello"), 400},
      {"blank before the colon of Transfer-Encoding",
       post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400},
      {"blank in a name", post("Transfer Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"no colon", get("X\r\n"), 400},
      {"quote in a name", get("A\"(: b\r\n"), 400},
      {"0x80 in a name", get("A\x80: b\r\n"), 400},
      {"NUL in a value", get("X: a\0b\r\n"s), 400},
      {"NUL in a name", get("X\0: b\r\n"s), 400},
      {"vertical tab in a value", get("X: a\x0b\r\n"), 400},
      {"DEL in a value", get("X: a\x7f\r\n"), 400},
      {"CR in a value", get("X: a\rb\r\n"), 400},

      // length and coding
      {"CL and TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
      {"TE gzip and CL", post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "hello"), 400},
      {"two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400},
      {"the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400},
      {"a list of lengths", post("Content-Length: 5, 5\r\n", "hello"), 400},
      {"length +5", post("Content-Length: +5\r\n", "hello"), 400},
      {"length -1", post("Content-Length: -1\r\n", "hello"), 400},
      {"length 0x5", post("Content-Length: 0x5\r\n", "hello"), 400},
      {"length 4 2", post("Content-Length: 4 2\r\n", "hello"), 400},
      {"empty length", post("Content-Length: \r\n", "hello"), 400},
      {"length 2^64 + 5", post("Content-Length: 18446744073709551621\r\n", "hello"), 400},
      {"length 2^63", post("Content-Length: 9223372036854775808\r\n", "hello"), 400},
      {"length 5.0", post("Content-Length: 5.0\r\n", "hello"), 400},
      {"TE xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
      {"TE chunkedx", post("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"), 501},
      {"TE gzip", post("Transfer-Encoding: gzip\r\n", ""), 501},
      {"TE identity", post("Transfer-Encoding: identity\r\n", ""), 501},
      {"TE empty", post("Transfer-Encoding:\r\n", ""), 501},
      {"TE gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
      {"TE ,chunked", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), 501},
      {"TE chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501},
      {"TE chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501},
      {"TE chunked;x", post("Transfer-Encoding: chunked;x=y\r\n", "0\r\n\r\n"), 501},
      {"TE quoted", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501},
      {"TE twice",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), -1},
      {"TE chunked then identity",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), -1},
      {"TE with vertical tab",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            "0\r\n\r\n"),
       -1},
      {"TE on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},

      // chunks
      {"chunk line ended by CR x", chunked("5\r\r;x\r\nhello\r\n0\r\n\r\n"), 400},
      {"CR in an extension", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400},
      {"LF in an extension", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), 400},
      {"bare LF behind a size", chunked("5\nhello\r\n0\r\n\r\n"), 400},
      {"size 5 blank", chunked("5 \r\nhello\r\n0\r\n\r\n"), 400},
      {"size 0x5", chunked("0x5\r\nhello\r\n0\r\n\r\n"), 400},
      {"size -5", chunked("-5\r\nhello\r\n0\r\n\r\n"), 400},
      {"size +5", chunked("+5\r\nhello\r\n0\r\n\r\n"), 400},
      {"empty size", chunked("\r\nhello\r\n0\r\n\r\n"), 400},
      {"17 digits of size", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
      {"leading zeros without end", chunked(std::string(4000, '0') + "5\r\nhello\r\n0\r\n\r\n"),
       400},
      {"chunk longer than its size", chunked("1\r\nAxx\r\n0\r\n\r\n"), 400},
      {"chunk ended by LF", chunked("1\r\nA\n0\r\n\r\n"), 400},
      {"chunk ended by CR x", chunked("1\r\nA\rx0\r\n\r\n"), 400},
      {"1 CR 0 LF", chunked("1\r0\nA\r\n0\r\n\r\n"), 400},
      {"CVE-2024-22019: extensions without end",
       chunked("5;" + std::string(5000, 'a') + "\r\nhello\r\n0\r\n\r\n"), 400},
      {"trailer folded", chunked("0\r\nX: a\r\n b\r\n\r\n"), 400},
      {"trailer without name", chunked("0\r\n: a\r\n\r\n"), 400},
      {"trailer with bare LF", chunked("0\r\nX: a\n\r\n"), 400},
      {"trailer section ended by LF", chunked("0\r\nX: a\r\n\n"), 400},

      // Host and target
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400},
      {"two Hosts on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"a list of hosts", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
      {"a blank in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"user information in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"a bad port in Host", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
      {"an open bracket in Host", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
      {"target and Host differ", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"target and Host differ in port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"user information in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a foreign scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two blanks before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two blanks behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"0x80 in the target", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, 400},
      {"GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc",
       400},

      // versions and methods
      {"HTTP/0.9", "GET /\r\n", 400},
      {"HTTP/0.9 with a version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
      {"HTTP/x", "GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400},
      {"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"HTTX/1.1", "GET / HTTX/1.1\r\nHost: a\r\n\r\n", 400},
      {"RTSP", "OPTIONS * RTSP/1.0\r\n\r\n", 400},
      {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"a longer method", "GETX / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"a method in small letters", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"an RTSP method", "SETUP / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"an Icecast method on HTTP", "SOURCE / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"an Icecast version", "SOURCE / ICE/1.0\r\n\r\n", 400},
      {"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00"s, 400},
      {"no blank behind the method", "GET\r\n", 400},
      {"an empty line of blanks", "   \r\n", 400},

      // after the last message
      {"data after Connection: close", get("Connection: close\r\n") + get(""), 400},
      {"data after an HTTP/1.0 request", "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", 400},
  };
}

inline std::string reply(std::string_view fields, std::string_view body = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n" + std::string(body);
}

inline std::vector<Vector> response_vectors() {
  using namespace std::string_literals;
  return {
      {"a plain reply", reply("Content-Length: 3\r\n", "abc"), 0},
      {"a chunked reply", reply("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), 0},
      {"a reply without an end", reply("", "abc"), 0},
      {"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0},
      {"an empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0},
      {"interim replies first",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
           reply("Content-Length: 1\r\n", "a"),
       0},
      {"204 with a length eats nothing",
       "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n" + reply("Content-Length: 0\r\n"), 0},
      {"304 with a length eats nothing",
       "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n" + reply("Content-Length: 0\r\n"), 0},
      {"a switch of protocols",
       "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw\r\n\r\nbytes", 0},

      {"TE and CL", reply("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 502},
      {"two lengths", reply("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 502},
      {"length +3", reply("Content-Length: +3\r\n", "abc"), 502},
      {"TE gzip", reply("Transfer-Encoding: gzip\r\n", "abc"), 502},
      {"TE gzip, chunked", reply("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 502},
      {"TE on HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
      {"TE on 204", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
      {"TE on 100", "HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
      {"folded field", reply("X: a\r\n b\r\n"), 502},
      {"empty field name", reply(": a\r\n"), 502},
      {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 502},
      {"CR in the reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", 502},
      {"NUL in the reason", "HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n"s, 502},
      {"status 99", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", 502},
      {"status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", 502},
      {"status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502},
      {"HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", 502},
      {"leading CRLF", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502},
      {"no HTTP", "SSH-2.0-OpenSSH\r\n", 502},
      {"a cut body", reply("Content-Length: 5\r\n", "abc"), 502},
      {"a cut chunked body", reply("Transfer-Encoding: chunked\r\n", "5\r\nabc"), 502},
      {"a chunked body without its last chunk",
       reply("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"), 502},
      {"a cut head", "HTTP/1.1 200 OK\r\nContent-Le", 502},
      {"chunk longer than its size",
       reply("Transfer-Encoding: chunked\r\n", "1\r\nabc\r\n0\r\n\r\n"), 502},
      {"data after Connection: close",
       reply("Connection: close\r\nContent-Length: 0\r\n", "") + reply("Content-Length: 0\r\n"),
       502},
  };
}

}  // namespace hms::net
