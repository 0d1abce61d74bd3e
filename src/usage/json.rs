//! Reads the scalars at fixed paths out of JSON that arrives in pieces.

mod unescape;

pub(crate) use self::unescape::unescape;

/// The largest number taken for a count. No window of any provider holds as many tokens, and sums
/// of such numbers stay far from overflow.
pub(crate) const MAX_COUNT: u64 = 1_000_000_000_000;

/// The key in a path that stands for every value of a list.
pub(crate) const EACH: &str = "[]";

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    /// A whole number up to [`MAX_COUNT`], also when written as `12.0`.
    Count(u64),
    /// A string that fits the reader's buffer.
    Text(&'a str),
    /// Anything else: another number, a longer string, a boolean, an object, an array.
    Other,
}

/// Receives what a [`PathReader`] finds.
pub(crate) trait Visitor<T> {
    /// Whether [`text`](Self::text), [`string`](Self::string) and [`bare`](Self::bare) are wanted.
    /// Without them, text off every path is only scanned for its end.
    const SIZES: bool = false;

    /// A value at the path `at`. A repeated key comes repeatedly.
    fn value(&mut self, at: &'static T, value: Value<'_>);

    /// A document in a list of them is over, and another follows.
    fn next_document(&mut self) {}

    /// The next piece of any string, keys included, as written in the JSON: escapes are as they were.
    /// `at` is the path it stands at, if it is the value at one. Pieces end anywhere.
    fn text(&mut self, _at: Option<&'static T>, _written: &[u8]) {}

    /// Any string, keys included: its length as written in the JSON, and its decoded beginning.
    fn string(&mut self, _length: u64, _beginning: &[u8]) {}

    /// Bytes outside of any string, in an array or object that no path leads through.
    fn bare(&mut self, _bytes: &[u8]) {}
}

/// How far a [`PathReader`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing but white space so far.
    Empty,
    /// In the middle of the document.
    Partial,
    /// One whole document.
    Complete,
    /// Not JSON.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    FirstKey,
    NextKey,
    Colon,
    AfterValue,
    Text(Role),
    /// A number, `true`, `false` or `null`.
    Literal,
    /// Inside arrays and objects that no path leads through, this many of them.
    Skip(u64),
    /// At the beginning of a list of documents.
    FirstItem,
    /// After a document in a list of them.
    AfterItem,
    /// At the beginning of a list that a path leads through.
    FirstElement,
    /// After a value in such a list.
    AfterElement,
    Complete,
    Lost,
}

/// Whether the outermost value may be a list of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    No,
    Allowed,
    /// Inside one.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Value,
    /// Inside a [`State::Skip`] of this depth.
    Skipped(u64),
}

/// Reads one JSON document, or a list of them as if it were one. `BUFFER` bounds the keys and strings that it can tell apart, in bytes.
///
/// Brackets off every path are counted, not matched in kind: `[}` passes there. What stands on a
/// path is read to the letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathReader<T: 'static, const BUFFER: usize> {
    paths: &'static [T],
    state: State,
    list: List,
    /// The keys that led into the innermost open object or list.
    prefix: &'static [&'static str],
    /// The keys that lead into the coming value, if a path goes on inside it.
    into: Option<&'static [&'static str]>,
    /// The path that ends at the coming value.
    at: Option<&'static T>,
    escape: Escape,
    /// Bytes of the current string, as written.
    length: u64,
    token: Token<BUFFER>,
}

impl<T, const BUFFER: usize> PathReader<T, BUFFER>
where
    T: AsRef<[&'static str]>,
{
    pub(crate) fn new(paths: &'static [T]) -> Self {
        Self {
            paths,
            state: State::Value,
            list: List::No,
            prefix: &[],
            into: Some(&[]),
            at: None,
            escape: Escape::None,
            length: 0,
            token: Token::new(),
        }
    }

    /// Takes an outermost array for a list of documents, each with values at the paths.
    pub(crate) fn listing(mut self) -> Self {
        self.list = List::Allowed;
        self
    }

    /// Forgets everything read and expects another document.
    pub(crate) fn reset(&mut self) {
        self.expect_document();
        if self.list == List::Open {
            self.list = List::Allowed;
        }
    }

    fn expect_document(&mut self) {
        self.state = State::Value;
        self.prefix = &[];
        self.into = Some(&[]);
        self.at = None;
    }

    pub(crate) fn progress(&self) -> Progress {
        match self.state {
            State::Value if self.is_outermost() && self.list != List::Open => Progress::Empty,
            State::Complete => Progress::Complete,
            // Nothing but the end of the input marks the end of a lone number.
            State::Literal
                if self.is_outermost()
                    && self.list != List::Open
                    && self.token.literal().is_some() =>
            {
                Progress::Complete
            }
            State::Lost => Progress::Lost,
            _ => Progress::Partial,
        }
    }

    /// Reads the next piece of the document.
    pub(crate) fn feed<V: Visitor<T>>(&mut self, mut bytes: &[u8], visitor: &mut V) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Text(role) => self.text(role, bytes, visitor),
                State::Literal => self.literal(bytes, visitor),
                State::Skip(depth) => self.skip(depth, bytes, visitor),
                State::Lost => return,
                _ => self.structure(bytes, visitor),
            };
        }
    }

    /// Reads one byte of white space or structure.
    fn structure<'a, V: Visitor<T>>(&mut self, bytes: &'a [u8], visitor: &mut V) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else {
            return bytes;
        };
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (State::FirstItem | State::AfterItem, b']') => self.state = State::Complete,
            (State::AfterItem, b',') => {
                self.expect_document();
                visitor.next_document();
            }
            (State::FirstElement | State::AfterElement, b']') => self.close_list(),
            (State::AfterElement, b',') => self.expect_element(),
            (State::Value | State::FirstItem | State::FirstElement, _) => {
                return self.open_value(byte, bytes, rest, visitor);
            }
            (State::FirstKey | State::NextKey, b'"') => self.open_string(Role::Key),
            (State::FirstKey | State::AfterValue, b'}') => self.leave(),
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => self.state = State::NextKey,
            _ => self.state = State::Lost,
        }
        rest
    }

    fn open_value<'a, V: Visitor<T>>(
        &mut self,
        byte: u8,
        bytes: &'a [u8],
        rest: &'a [u8],
        visitor: &mut V,
    ) -> &'a [u8] {
        match byte {
            b'"' => self.open_string(Role::Value),
            b'[' if self.list == List::Allowed && self.is_outermost() => {
                self.list = List::Open;
                self.state = State::FirstItem;
            }
            b'{' | b'[' => {
                if let Some(at) = self.at {
                    visitor.value(at, Value::Other);
                }
                match (self.into, byte) {
                    (Some(prefix), b'{') => {
                        self.prefix = prefix;
                        self.state = State::FirstKey;
                    }
                    (Some(prefix), _) => self.open_list(prefix),
                    (None, _) => self.state = State::Skip(1),
                }
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.token.clear();
                self.state = State::Literal;
                return bytes;
            }
            _ => self.state = State::Lost,
        }
        rest
    }

    fn open_list(&mut self, at: &'static [&'static str]) {
        let depth = at.len();
        let through = self.paths.iter().map(AsRef::as_ref).find(|keys| {
            let keys: &[&str] = keys;
            keys.len() > depth && keys[depth] == EACH && keys[..depth] == *at
        });
        match through {
            Some(keys) => {
                self.prefix = &keys[..=depth];
                self.expect_element();
                self.state = State::FirstElement;
            }
            None => self.state = State::Skip(1),
        }
    }

    /// An object among the values of a list is entered as the list is.
    fn expect_element(&mut self) {
        let prefix = self.prefix;
        self.state = State::Value;
        self.into = Some(prefix);
        self.at = self.paths.iter().find(|path| *path.as_ref() == *prefix);
    }

    fn close_list(&mut self) {
        if let Some((_, list)) = self.prefix.split_last() {
            self.prefix = list;
            self.leave();
        }
    }

    /// The value that the keys of the prefix lead into is over.
    fn leave(&mut self) {
        match self.prefix.split_last() {
            Some((&EACH, _)) => self.state = State::AfterElement,
            Some((_, outer)) => {
                self.prefix = outer;
                self.state = State::AfterValue;
            }
            None => self.close_document(),
        }
    }

    fn close_value(&mut self) {
        if self.is_outermost() {
            self.close_document();
        } else if self.is_element() {
            self.state = State::AfterElement;
        } else {
            self.state = State::AfterValue;
        }
    }

    fn close_document(&mut self) {
        self.state = match self.list {
            List::Open => State::AfterItem,
            List::No | List::Allowed => State::Complete,
        };
    }

    /// Only the outermost value is entered without a key.
    fn is_outermost(&self) -> bool {
        self.into.is_some_and(<[_]>::is_empty)
    }

    /// Only a value of a list is entered with no key beyond those of the list.
    fn is_element(&self) -> bool {
        self.into
            .is_some_and(|into| into.len() == self.prefix.len())
    }

    fn literal<'a, V: Visitor<T>>(&mut self, bytes: &'a [u8], visitor: &mut V) -> &'a [u8] {
        let end = bytes.iter().position(
            |byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'E'),
        );
        let (literal, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.token.push(literal);
        if end.is_none() {
            return rest;
        }
        match self.token.literal() {
            Some(value) => {
                if let Some(at) = self.at {
                    visitor.value(at, value);
                }
                self.close_value();
            }
            None => self.state = State::Lost,
        }
        rest
    }

    fn skip<'a, V: Visitor<T>>(
        &mut self,
        mut depth: u64,
        bytes: &'a [u8],
        visitor: &mut V,
    ) -> &'a [u8] {
        let mut rest = bytes;
        loop {
            let end = find(rest, |byte| {
                // `[` and `{`, `]` and `}` differ in this bit alone.
                let folded = byte | 0x20;
                (byte == b'"') | (folded == b'{') | (folded == b'}')
            });
            let (bare, from) = rest.split_at(end.unwrap_or(rest.len()));
            if V::SIZES {
                visitor.bare(bare);
            }
            let Some((&byte, after)) = from.split_first() else {
                self.state = State::Skip(depth);
                return from;
            };
            rest = after;
            match byte {
                b'"' => {
                    self.open_string(Role::Skipped(depth));
                    return rest;
                }
                b'{' | b'[' => depth += 1,
                _ => {
                    depth -= 1;
                    if depth == 0 {
                        self.close_value();
                        return rest;
                    }
                }
            }
        }
    }

    fn open_string(&mut self, role: Role) {
        self.token.clear();
        self.length = 0;
        self.escape = Escape::None;
        self.state = State::Text(role);
    }

    fn text<'a, V: Visitor<T>>(
        &mut self,
        role: Role,
        bytes: &'a [u8],
        visitor: &mut V,
    ) -> &'a [u8] {
        let decodes = V::SIZES
            || match role {
                Role::Key => true,
                Role::Value => self.at.is_some(),
                Role::Skipped(_) => false,
            };
        let mut rest = bytes;
        let closed = loop {
            if self.escape == Escape::None {
                let end = find(rest, |byte| (byte == b'"') | (byte == b'\\'));
                let (plain, from) = rest.split_at(end.unwrap_or(rest.len()));
                if decodes {
                    self.token.push(plain);
                }
                rest = from;
            }
            let Some((&byte, after)) = rest.split_first() else {
                break false;
            };
            rest = after;
            match self.escape {
                Escape::None if byte == b'"' => break true,
                Escape::None => self.escape = Escape::Backslash,
                // Only the byte after the backslash can hide the end of the string.
                _ if !decodes => self.escape = Escape::None,
                _ => match self.escape.next(byte, &mut self.token) {
                    Some(escape) => self.escape = escape,
                    None => {
                        self.state = State::Lost;
                        return rest;
                    }
                },
            }
        };
        let written = &bytes[..bytes.len() - rest.len() - usize::from(closed)];
        self.length += written.len() as u64;
        if V::SIZES && !written.is_empty() {
            let at = match role {
                Role::Value => self.at,
                Role::Key | Role::Skipped(_) => None,
            };
            visitor.text(at, written);
        }
        if closed {
            self.close_string(role, visitor);
        }
        rest
    }

    fn close_string<V: Visitor<T>>(&mut self, role: Role, visitor: &mut V) {
        self.token.end();
        if V::SIZES {
            visitor.string(self.length, self.token.bytes());
        }
        match role {
            Role::Key => {
                self.match_key();
                self.state = State::Colon;
            }
            Role::Value => {
                if let Some(at) = self.at {
                    visitor.value(at, self.token.text());
                }
                self.close_value();
            }
            Role::Skipped(depth) => self.state = State::Skip(depth),
        }
    }

    fn match_key(&mut self) {
        let depth = self.prefix.len();
        self.into = None;
        self.at = None;
        // A key that is written like `EACH` is no list.
        if self.token.overflowed || self.token.bytes() == EACH.as_bytes() {
            return;
        }
        for path in self.paths {
            let keys: &'static [&'static str] = path.as_ref();
            let matches = keys.len() > depth
                && keys[depth].as_bytes() == self.token.bytes()
                && keys[..depth] == *self.prefix;
            if !matches {
                continue;
            }
            if keys.len() == depth + 1 {
                self.at = Some(path);
            } else {
                self.into = Some(&keys[..=depth]);
            }
        }
    }
}

/// The first byte that `stops`, in steps that a compiler turns into vector instructions.
pub(super) fn find(bytes: &[u8], stops: impl Fn(u8) -> bool) -> Option<usize> {
    const STEP: usize = 32;

    let mut clear = 0;
    for step in bytes.chunks_exact(STEP) {
        if step.iter().fold(false, |found, &byte| found | stops(byte)) {
            break;
        }
        clear += STEP;
    }
    let found = bytes[clear..].iter().position(|&byte| stops(byte))?;
    Some(clear + found)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    /// Inside `\uXXXX`: the digits still to come and the number so far.
    Hex(u8, u16),
}

impl Escape {
    /// Takes the next byte of an escape; `None` if there is no such escape.
    fn next<const BUFFER: usize>(self, byte: u8, token: &mut Token<BUFFER>) -> Option<Self> {
        match self {
            Self::None => {}
            Self::Backslash => match byte {
                b'"' | b'\\' | b'/' => token.push(&[byte]),
                b'b' => token.push(b"\x08"),
                b'f' => token.push(b"\x0c"),
                b'n' => token.push(b"\n"),
                b'r' => token.push(b"\r"),
                b't' => token.push(b"\t"),
                b'u' => return Some(Self::Hex(4, 0)),
                _ => return None,
            },
            Self::Hex(left, unit) => {
                let digit = char::from(byte).to_digit(16)?;
                let unit = (unit << 4) | u16::try_from(digit).ok()?;
                if left > 1 {
                    return Some(Self::Hex(left - 1, unit));
                }
                token.push_unit(unit);
            }
        }
        Some(Self::None)
    }
}

/// The beginning of the current key, string or literal.
#[derive(Clone, Copy, Debug)]
struct Token<const BUFFER: usize> {
    buffer: [u8; BUFFER],
    used: usize,
    overflowed: bool,
    /// The first half of a character that JSON escapes in two.
    high_surrogate: Option<u16>,
}

impl<const BUFFER: usize> Token<BUFFER> {
    const fn new() -> Self {
        Self {
            buffer: [0; BUFFER],
            used: 0,
            overflowed: false,
            high_surrogate: None,
        }
    }

    fn clear(&mut self) {
        self.used = 0;
        self.overflowed = false;
        self.high_surrogate = None;
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.end();
        self.append(bytes);
    }

    fn push_unit(&mut self, unit: u16) {
        match (self.high_surrogate.take(), unit) {
            (Some(high), 0xDC00..0xE000) => {
                self.push_char(char::decode_utf16([high, unit]).next());
            }
            (Some(_), _) => {
                self.push_char::<()>(None);
                self.push_unit(unit);
            }
            (None, 0xD800..0xDC00) => self.high_surrogate = Some(unit),
            (None, _) => self.push_char(char::decode_utf16([unit]).next()),
        }
    }

    fn push_char<E>(&mut self, decoded: Option<Result<char, E>>) {
        let char = match decoded {
            Some(Ok(char)) => char,
            _ => char::REPLACEMENT_CHARACTER,
        };
        self.append(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Nothing follows that could complete a half character.
    fn end(&mut self) {
        if self.high_surrogate.take().is_some() {
            self.push_char::<()>(None);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(BUFFER - self.used);
        self.buffer[self.used..self.used + fits].copy_from_slice(&bytes[..fits]);
        self.used += fits;
        self.overflowed |= fits < bytes.len();
    }

    fn text(&self) -> Value<'_> {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) if !self.overflowed => Value::Text(text),
            _ => Value::Other,
        }
    }

    /// The value of a literal, or `None` if JSON has no such literal.
    fn literal(&self) -> Option<Value<'static>> {
        match self.bytes() {
            _ if self.overflowed => Some(Value::Other),
            b"null" => Some(Value::Null),
            b"true" | b"false" => Some(Value::Other),
            number if is_number(number) => Some(count(number).map_or(Value::Other, Value::Count)),
            _ => None,
        }
    }
}

fn is_number(literal: &[u8]) -> bool {
    fn is_digits(text: &[u8]) -> bool {
        !text.is_empty() && text.iter().all(u8::is_ascii_digit)
    }

    let unsigned = literal.strip_prefix(b"-").unwrap_or(literal);
    let (decimal, exponent) = split(unsigned, |byte| matches!(byte, b'e' | b'E'));
    let (whole, fraction) = split(decimal, |byte| byte == b'.');
    let exponent = exponent.map(|exponent| match exponent {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    });
    is_digits(whole) && fraction.is_none_or(is_digits) && exponent.is_none_or(is_digits)
}

/// The count that a number is: digits, perhaps with a fraction of zeros as in `12.0`.
fn count(number: &[u8]) -> Option<u64> {
    let (whole, fraction) = split(number, |byte| byte == b'.');
    if fraction.is_some_and(|fraction| fraction.iter().any(|digit| *digit != b'0')) {
        return None;
    }
    let count = std::str::from_utf8(whole).ok()?.parse().ok()?;
    (count <= MAX_COUNT).then_some(count)
}

/// What is before and after the first byte that `separates`.
fn split(bytes: &[u8], separates: impl Fn(u8) -> bool) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| separates(byte)) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

#[cfg(test)]
mod tests;
