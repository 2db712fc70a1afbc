//! As much of HTTP/1.1 as it takes to answer a scraper or a health check: one request, one answer, the connection ends.

/// Longest head of a request.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// Most header fields of a request.
const MAX_HEADERS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path without query.
    pub path: String,
    /// `HEAD`: the answer has no body.
    pub is_head: bool,
}

/// What the bytes so far make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The head is not complete.
    Partial,
    /// A request.
    Complete(Request),
    /// Something that is answered with this status, whatever comes.
    Refused(Status),
}

/// Status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Ok,
    /// No HTTP.
    BadRequest,
    /// No such page.
    NotFound,
    /// Only `GET` and `HEAD` are answered.
    MethodNotAllowed,
    /// The head is too long, or has too many fields.
    HeadersTooLarge,
    /// Not now.
    Unavailable,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed\r\nAllow: GET, HEAD",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Looks at what came so far.
pub fn read(bytes: &[u8]) -> Read {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < MAX_REQUEST_BYTES => Read::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Read::Refused(Status::HeadersTooLarge)
        }
        Err(_) => Read::Refused(Status::BadRequest),
        Ok(httparse::Status::Complete(_)) => {
            let is_head = match request.method {
                Some("GET") => false,
                Some("HEAD") => true,
                _ => return Read::Refused(Status::MethodNotAllowed),
            };
            let path = request.path.unwrap_or_default();
            let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
            Read::Complete(Request { path, is_head })
        }
    }
}

/// The bytes of an answer.
pub fn answer(status: Status, content_type: &str, body: &str, is_head: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        status.line(),
        body.len()
    );
    let mut bytes = head.into_bytes();
    if !is_head {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Read {
        Read::Complete(Request { path: path.to_owned(), is_head: false })
    }

    #[test]
    fn a_request_is_read_once_its_head_is_complete() {
        let whole = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Read::Partial, "{length}");
        }
        assert_eq!(read(whole), get("/metrics"));
        assert_eq!(read(b"GET /healthz HTTP/1.0\n\n"), get("/healthz"));
        let head = Read::Complete(Request { path: "/".to_owned(), is_head: true });
        assert_eq!(read(b"HEAD / HTTP/1.1\r\n\r\n"), head);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (bytes, status) in [
            (&b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"[..], Status::MethodNotAllowed),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Status::BadRequest),
            (b"GET / HTTP/2.0\r\n\r\n", Status::BadRequest),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", Status::BadRequest),
            (b"\r\n\r\n\0", Status::BadRequest),
        ] {
            assert_eq!(read(bytes), Read::Refused(status), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_may_be_so_long_and_no_longer() {
        let long = |length: usize| {
            let (begin, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
            format!("{begin}{}{end}", "x".repeat(length - begin.len() - end.len())).into_bytes()
        };
        for length in [MAX_REQUEST_BYTES - 1, MAX_REQUEST_BYTES] {
            assert_eq!(read(&long(length)), get("/"), "{length}");
        }
        // One byte more does not fit where it is read into.
        let cut = &long(MAX_REQUEST_BYTES + 1)[..MAX_REQUEST_BYTES];
        assert_eq!(read(cut), Read::Refused(Status::HeadersTooLarge));
        let fields =
            |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count)).into_bytes();
        assert_eq!(read(&fields(MAX_HEADERS)), get("/"));
        assert_eq!(read(&fields(MAX_HEADERS + 1)), Read::Refused(Status::HeadersTooLarge));
    }

    #[test]
    fn an_answer_says_its_length_and_a_head_has_no_body() {
        let text =
            |is_head| String::from_utf8(answer(Status::Ok, "text/plain", "ok\n", is_head)).expect("UTF-8");
        assert!(text(false).starts_with("HTTP/1.1 200 OK\r\n") && text(false).ends_with("\r\n\r\nok\n"));
        assert!(text(true).contains("Content-Length: 3\r\n") && text(true).ends_with("\r\n\r\n"));
    }
}
