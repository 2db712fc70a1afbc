//! Finds the paths that are written out in a Rust source, with `super`, `self` and groups resolved.

/// A path and the line it ends on. Paths into the crate itself begin with `crate`.
#[derive(Debug)]
pub struct Found {
    pub line: usize,
    pub path: Vec<String>,
}

/// Finds all paths of two and more segments, and the shorter ones in `use`, in a source of the given module.
pub fn find(module: &[String], text: &str) -> Vec<Found> {
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        module: module.to_vec(),
        nested: Vec::new(),
        found: Vec::new(),
    };
    reader.read();
    reader.found
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Token {
    Word(String),
    PathSeparator,
    Sign(char),
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// The module the reader is in.
    module: Vec<String>,
    /// For every open brace, whether it opened a module.
    nested: Vec<bool>,
    found: Vec<Found>,
}

impl Reader {
    fn read(&mut self) {
        while let Some(token) = self.token(0) {
            match token {
                Token::Word(word)
                    if word == "use" || word == "crate" && self.token(1) == Some(Token::Sign(')')) =>
                {
                    // `pub(crate)` is no path; `use` begins one, even of a single word.
                    self.at += 1;
                    if word == "use" {
                        self.skip_separator();
                        self.tree(&mut Vec::new(), true);
                    }
                }
                Token::Word(word) if word == "mod" => self.module(),
                Token::Word(_) => self.tree(&mut Vec::new(), false),
                Token::Sign('{') => self.open(false),
                Token::Sign('}') => self.close(),
                // A name after a dot is a field or a method, and one after `a>::` belongs to a type.
                Token::Sign('.') => self.after_dot(),
                Token::PathSeparator | Token::Sign(_) => self.at += 1,
            }
        }
    }

    fn token(&self, ahead: usize) -> Option<Token> {
        self.tokens.get(self.at + ahead).map(|(_, token)| token.clone())
    }

    fn skip_separator(&mut self) {
        if self.token(0) == Some(Token::PathSeparator) {
            self.at += 1;
        }
    }

    fn after_dot(&mut self) {
        self.at += 1;
        if matches!(self.token(0), Some(Token::Word(_))) {
            self.at += 1;
        }
    }

    fn module(&mut self) {
        self.at += 1;
        if let (Some(Token::Word(name)), Some(Token::Sign('{'))) = (self.token(0), self.token(1)) {
            self.module.push(name);
            self.at += 1;
            self.open(true);
        }
    }

    fn open(&mut self, module: bool) {
        self.at += 1;
        self.nested.push(module);
    }

    fn close(&mut self) {
        self.at += 1;
        if self.nested.pop() == Some(true) {
            self.module.pop();
        }
    }

    /// Reads a path, and in `use` its groups. `prefix` holds the segments so far.
    fn tree(&mut self, prefix: &mut Vec<String>, is_use: bool) {
        let depth = prefix.len();
        loop {
            let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
            match self.token(0) {
                Some(Token::Word(word)) => {
                    prefix.push(word);
                    self.at += 1;
                    if self.token(0) == Some(Token::PathSeparator) {
                        self.at += 1;
                        continue;
                    }
                    self.report(line, prefix, is_use);
                }
                Some(Token::Sign('*')) if is_use => {
                    prefix.push("*".into());
                    self.at += 1;
                    self.report(line, prefix, is_use);
                }
                Some(Token::Sign('{')) if is_use => {
                    self.at += 1;
                    self.group(prefix);
                }
                // `Vec::<u8>`: the path is over, what is in the brackets is read as any other.
                _ => self.report(line, prefix, is_use),
            }
            break;
        }
        prefix.truncate(depth);
    }

    fn group(&mut self, prefix: &mut Vec<String>) {
        loop {
            match self.token(0) {
                None => return,
                Some(Token::Sign('}')) => {
                    self.at += 1;
                    return;
                }
                Some(Token::Word(word)) if word == "as" => self.at += 2,
                Some(Token::Word(_) | Token::Sign('*' | '{')) => self.tree(prefix, true),
                Some(_) => self.at += 1,
            }
        }
    }

    fn report(&mut self, line: usize, path: &[String], is_use: bool) {
        if (is_use || path.len() > 1)
            && let Some(path) = self.absolute(path)
        {
            self.found.push(Found { line, path });
        }
    }

    /// The path from the root of the crate, or as it stands if it leads out of it.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let root = || vec!["crate".to_owned()];
        let mut rest = path;
        let mut absolute = match path.first()?.as_str() {
            // The library is called `agent` where the binary uses it.
            "crate" | "agent" => {
                rest = &rest[1..];
                root()
            }
            "self" | "super" => {
                let mut module = self.module.clone();
                while let Some(word) = rest.first().filter(|word| *word == "self" || *word == "super") {
                    if word == "super" {
                        module.pop();
                    }
                    rest = &rest[1..];
                }
                [root(), module].concat()
            }
            _ => Vec::new(),
        };
        absolute.extend_from_slice(rest);
        // `a::{self}` is `a`.
        if absolute.last().is_some_and(|last| last == "self") {
            absolute.pop();
        }
        Some(absolute)
    }
}

/// The words, path separators and other signs of a source with their lines, without comments and literals.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or(0);
        if length > 0 {
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
        } else if first == '_' || first.is_alphanumeric() {
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            tokens.push((line, Token::Word(rest[..end].to_owned())));
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("::") {
            tokens.push((line, Token::PathSeparator));
            rest = after;
        } else {
            tokens.push((line, Token::Sign(first)));
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// How many bytes of white space, comment or literal the text begins with, if it begins with any.
fn skipped(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes[0] {
        b'/' if bytes.get(1) == Some(&b'/') => Some(text.find('\n').unwrap_or(text.len())),
        b'/' if bytes.get(1) == Some(&b'*') => Some(block_comment(text)),
        b'"' => Some(string(text)),
        b'\'' => Some(character_or_lifetime(text)),
        b'r' | b'b' | b'c' => prefixed_literal(text),
        _ => text.chars().next().filter(|c| c.is_whitespace()).map(char::len_utf8),
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime: of it only the quote is skipped with the name.
fn character_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |end| 3 + end + 1),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => {
                let name = text[1..].find(|c: char| c != '_' && !c.is_alphanumeric());
                1 + name.unwrap_or(text.len() - 1)
            }
        },
        None => text.len(),
    }
}

/// `b".."`, `b'.'`, `c".."`, `r".."`, `r#".."#`, `br".."`; None for a word that only begins with such a letter.
fn prefixed_literal(text: &str) -> Option<usize> {
    let raw_from = text.find('r').filter(|&at| at <= 1 && matches!(&text[..at], "" | "b" | "c"));
    if let Some(at) = raw_from {
        let hashes = text[at + 1..].bytes().take_while(|&byte| byte == b'#').count();
        let start = at + 1 + hashes;
        if text[start..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(
                text[start + 1..].find(&end).map_or(text.len(), |found| start + 1 + found + end.len()),
            );
        }
    }
    match text.as_bytes().get(1) {
        Some(b'"') if !text.starts_with('r') => Some(1 + string(&text[1..])),
        Some(b'\'') if text.starts_with('b') => Some(1 + character_or_lifetime(&text[1..])),
        _ => None,
    }
}
