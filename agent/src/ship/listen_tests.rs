use super::*;

/// A server on a free port, whose watching thread answers with these pages.
fn served(mut page: impl FnMut() -> Page + Send + 'static) -> SocketAddr {
    let (address, mut asked) = unanswered();
    thread::spawn(move || {
        while let Some(question) = asked.blocking_recv() {
            question.answer(page());
        }
    });
    address
}

fn unanswered() -> (SocketAddr, Receiver<Question>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    (address, serve(listener).expect("a thread"))
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(address).expect("a listener");
    client.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it answers");
    answer
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"))
}

#[test]
fn a_port_alone_means_loopback_and_everything_else_is_written_out() {
    for (text, address) in [
        ("9400", "127.0.0.1:9400"),
        (":9400", "127.0.0.1:9400"),
        ("localhost:9400", "127.0.0.1:9400"),
        ("[::1]:9400", "[::1]:9400"),
        ("0.0.0.0:9400", "0.0.0.0:9400"),
        ("10.0.1.5:65535", "10.0.1.5:65535"),
    ] {
        assert_eq!(parse_address(text), Ok(address.parse().expect("an address")), "{text}");
    }
    for text in
        ["", ":", "0", "127.0.0.1:0", "127.0.0.1", "65536", "::1:9400", "example.org:9400", "http://a:1"]
    {
        assert!(
            parse_address(text).is_err_and(|error| error.contains("is no address to listen on")),
            "{text}"
        );
    }
}

#[test]
fn the_three_pages_are_served_and_nothing_else() {
    let address = served(|| Page { metrics: "hct_x 1\n".to_owned(), not_ready: Vec::new() });
    let metrics = get(address, "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.ends_with("\r\n\r\nhct_x 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    for path in ["/healthz", "/readyz"] {
        assert!(get(address, path).ends_with("\r\n\r\nok\n"), "{path}");
    }
    assert!(get(address, "/").starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(ask(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_REQUEST_BYTES));
    assert!(ask(address, &long).starts_with("HTTP/1.1 431 "));
    assert!(ask(address, "HEAD /healthz HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
}

#[test]
fn an_agent_that_is_not_ready_says_why_and_is_alive() {
    let address = served(|| Page { not_ready: vec!["eth0 is gone".to_owned()], ..Page::default() });
    let text = get(address, "/readyz");
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\neth0 is gone\n"), "{text}");
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_agent_that_does_not_answer_is_not_healthy() {
    let (address, _asked) = unanswered();
    let began = Instant::now();
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 503 "));
    assert!(began.elapsed() < CONNECTION_LIMIT, "{:?}", began.elapsed());
}

#[test]
fn however_many_ask_a_page_is_made_about_once_a_second() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let address = served(move || {
        count.fetch_add(1, Ordering::AcqRel);
        Page::default()
    });
    let began = Instant::now();
    for _ in 0..50 {
        assert!(get(address, "/metrics").starts_with("HTTP/1.1 200 "));
    }
    let at_most = 1 + began.elapsed().as_secs() as usize + 1;
    let made = made.load(Ordering::Acquire);
    assert!((1..=at_most).contains(&made), "{made} of at most {at_most}");
}

#[test]
fn clients_that_say_nothing_take_the_places_and_lose_them_in_time() {
    let address = served(Page::default);
    let began = Instant::now();
    let silent: Vec<_> =
        (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(address).expect("a listener")).collect();
    // The next one is turned away at once rather than kept waiting.
    let turned_away = loop {
        let mut client = TcpStream::connect(address).expect("a listener");
        let mut text = String::new();
        // Its request is not read, so the answer may be lost to a reset: the connection ends in any case.
        let _reset = client.read_to_string(&mut text);
        if text.contains("503") || began.elapsed() > CONNECTION_LIMIT {
            break text;
        }
    };
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away:?}");
    // Those that hold a place are let go, without an answer.
    for mut client in silent {
        let mut text = String::new();
        let _reset = client.read_to_string(&mut text);
        assert_eq!(text, "");
    }
    let took = began.elapsed();
    assert!(took >= CONNECTION_LIMIT && took < CONNECTION_LIMIT * 3, "{took:?}");
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "), "there is room again");
}

#[test]
fn a_client_that_does_not_read_its_answer_is_let_go() {
    // More than the sockets' buffers take.
    let address = served(|| Page { metrics: "x".repeat(32 << 20), ..Page::default() });
    let mut deaf = TcpStream::connect(address).expect("a listener");
    deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it reads");
    let began = Instant::now();
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "), "others are answered meanwhile");
    thread::sleep((CONNECTION_LIMIT + Duration::from_secs(1)).saturating_sub(began.elapsed()));
    let mut got = Vec::new();
    let _reset = deaf.read_to_end(&mut got);
    assert!(got.len() < 32 << 20, "the answer was cut off: {}", got.len());
}

#[test]
fn a_busy_port_is_an_error() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("an address");
    assert_eq!(open(address).expect_err("busy").kind(), ErrorKind::AddrInUse);
}
