use std::{net::TcpListener, thread};

use super::*;

const LIMIT: usize = 1000;

/// A server on loopback that answers one request with these bytes, and then stalls or closes.
fn answered(answer: Vec<u8>, stalls: bool) -> Result<Vec<u8>, HttpError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = Url::parse(&format!("http://{}/v4/task", listener.local_addr().expect("an address")));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        let length = stream.read(&mut request).expect("a request");
        // Whoever reads may have read enough.
        let _ = stream.write_all(&answer);
        if stalls {
            let _ = stream.read(&mut request);
        }
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let url = url.expect("an address");
    let request = Request {
        method: "GET",
        url: &url,
        headers: &[("X-Test", "yes")],
        timeout: Duration::from_millis(if stalls { 200 } else { 3000 }),
        max_bytes: LIMIT,
    };
    let began = Instant::now();
    let outcome = request.perform();
    assert!(began.elapsed() < Duration::from_secs(3), "bounded in time");
    let request = server.join().expect("the server");
    assert!(request.starts_with("GET /v4/task HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    assert!(request.contains("\r\nX-Test: yes\r\n") && request.ends_with("\r\n\r\n"), "{request}");
    outcome
}

fn body(answer: &str) -> String {
    String::from_utf8(answered(answer.as_bytes().to_vec(), false).expect("an answer")).expect("text")
}

#[test]
fn answers_of_every_length_are_read() {
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodymore"), "body");
    assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nto the end"), "to the end");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    assert_eq!(body(chunked), "abcde");
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "");
}

#[test]
fn an_answer_that_is_there_is_taken_although_the_server_stays() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    assert_eq!(answered(answer, true).expect("an answer"), b"ok");
}

#[test]
fn bad_answers_are_errors_of_one_line() {
    let long = |head: &str| [head.as_bytes(), &vec![b'x'; LIMIT + 1]].concat();
    for (answer, part) in [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "/v4/task with status 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "does not answer in HTTP/1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec(), "ends early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n".to_vec(), "Content-Length is no number"),
        (b"".to_vec(), "ends early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\nx".to_vec(), "more than 1000 bytes"),
        (long("HTTP/1.1 200 OK\r\n\r\n"), "more than 1000 bytes"),
        (long("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), "ends early"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc".to_vec(),
            "a chunk is longer than its size",
        ),
        ([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'y'; 20_000]].concat(), "more than 16384 bytes"),
    ] {
        let error = answered(answer, false).expect_err(part).to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{part}: {error}");
    }
}

#[test]
fn a_stall_ends_in_time() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome"] {
        let error = answered(answer.as_bytes().to_vec(), true).expect_err("it stalls").to_string();
        assert!(error.contains("did not answer within 200ms"), "{error}");
    }
}

#[test]
fn only_addresses_are_asked() {
    let url = Url::parse("http://169.254.170.2/v4/abc").expect("an address");
    assert_eq!((url.server.to_string().as_str(), url.path.as_str()), ("169.254.170.2:80", "/v4/abc"));
    assert_eq!(url.below("task").path, "/v4/abc/task");
    let url = Url::parse("http://[fd00:ec2::254]").expect("an address");
    assert_eq!(url.server.to_string(), "[fd00:ec2::254]:80");
    for text in ["", "https://169.254.170.2/", "http://metadata/", "http://1.2.3.4/a b", "http://1.2.3.4:x/"]
    {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}
