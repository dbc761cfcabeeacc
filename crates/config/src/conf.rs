//! odyssey.conf into the raw tree: recursive descent, led by the table of options.
//!
//! It stops at the first error of syntax, as Odyssey does, because what follows one is guesswork.

mod lexer;

use crate::ConnectionType;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::files::{Files, Source};
use crate::model::Name;
use crate::options::{self, Kind, Label, Row, Scope};
use crate::raw::{self, Block, Setting, Value};

pub(crate) use lexer::settings_follow;
use lexer::{Lexer, Token};

/// Reads one file into the tree; the files it includes too.
pub(crate) fn read(
    files: &mut Files<'_>,
    source: &Source<'_>,
    root: &mut Block,
) -> Result<(), Diagnostics> {
    let mut lexer = Lexer::new(source);
    let (token, place) = lexer.next(files.complaints)?;
    let mut parser = Parser { files, lexer, token, place };
    parser.items(Scope::Top, root)?;
    match parser.token {
        Token::End => Ok(()),
        _ => {
            let hint = match parser.token {
                Token::Close => "no section is open here; one brace too many?",
                _ => "the name of an option or a section is expected",
            };
            Err(parser.unexpected("end of file").hint(hint.to_owned()).into())
        }
    }
}

/// A file with one token of look-ahead.
struct Parser<'a, 'b> {
    files: &'a mut Files<'b>,
    lexer: Lexer<'a>,
    token: Token,
    place: Place,
}

impl Parser<'_, '_> {
    /// Everything up to the first token that starts no item: a brace or the end of the file.
    fn items(&mut self, scope: Scope, block: &mut Block) -> Result<(), Diagnostics> {
        while let Token::Word(word) = &self.token {
            let Some(row) = scope.find(word) else { return Err(self.unknown(scope).into()) };
            self.item(row, block)?;
        }
        Ok(())
    }

    fn item(&mut self, row: &'static Row, block: &mut Block) -> Result<(), Diagnostics> {
        let (_, place) = self.advance()?;
        let value = match row.kind {
            Kind::Include => {
                let path = self.text()?;
                return self.files.include(&path, &place, block);
            }
            Kind::Section { scope, label } => {
                let mut inner = Block::new(Some(row), place);
                self.label(label, &mut inner)?;
                if row.name == "user" || row.name == "group" {
                    self.selector(&mut inner)?;
                }
                self.expect(&Token::Open, "'{'")?;
                self.items(scope, &mut inner)?;
                self.close(row, &inner.place)?;
                block.blocks.push(inner);
                return Ok(());
            }
            Kind::Pairs => self.pairs()?,
            _ => self.scalar(row.kind)?,
        };
        block.settings.push(Setting { row, place, value });
        Ok(())
    }

    fn scalar(&mut self, kind: Kind) -> Result<Value, Diagnostic> {
        let wanted = match kind {
            Kind::Flag => "yes or no",
            Kind::Integer { .. } => "NUMBER",
            Kind::Size => "SIZE_NUMBER or NUMBER",
            Kind::IntegerOrText => "NUMBER or STRING",
            Kind::TextOrDefault => "STRING or default",
            _ => "STRING",
        };
        let value = match (kind, &self.token) {
            (Kind::Flag, Token::Word(word)) if word == "yes" => Value::Flag(true),
            (Kind::Flag, Token::Word(word)) if word == "no" => Value::Flag(false),
            (Kind::Integer { .. } | Kind::IntegerOrText | Kind::Size, Token::Number(number)) => {
                Value::Integer(*number)
            }
            (Kind::Size, Token::Size(bytes)) => Value::Integer(*bytes),
            (Kind::Text | Kind::IntegerOrText | Kind::TextOrDefault, Token::Text(text)) => {
                Value::Text(text.clone())
            }
            (Kind::TextOrDefault, Token::Word(word)) if word == "default" => Value::Default,
            (Kind::Bare(words), Token::Word(word)) if words.contains(&word.as_str()) => {
                Value::Text(word.clone())
            }
            (Kind::Bare(words), _) => return Err(self.unexpected(&words.join(" or "))),
            _ => return Err(self.unexpected(wanted).hint(self.mistake(wanted))),
        };
        self.advance()?;
        Ok(value)
    }

    /// What is often written instead of a value.
    fn mistake(&self, wanted: &str) -> Option<String> {
        let hint = match (wanted, &self.token) {
            ("yes or no", Token::End | Token::Open | Token::Close) => return None,
            ("yes or no", _) => "a flag is yes or no, without quotes",
            (_, Token::Word(_)) if wanted.contains("STRING") => "strings stand in double quotes",
            ("STRING", Token::Number(_) | Token::Size(_)) => "strings stand in double quotes",
            ("NUMBER", Token::Text(_)) => "numbers stand without quotes",
            ("NUMBER" | "NUMBER or STRING", Token::Size(_)) => "no suffix is allowed here",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn pairs(&mut self) -> Result<Value, Diagnostic> {
        self.expect(&Token::Open, "'{'")?;
        let mut pairs = Vec::new();
        while let Token::Text(_) = self.token {
            pairs.push((self.text()?, self.text()?));
        }
        self.expect(&Token::Close, "STRING or '}'")?;
        Ok(Value::Pairs(pairs))
    }

    fn label(&mut self, label: Label, block: &mut Block) -> Result<(), Diagnostic> {
        block.name = match (label, &self.token) {
            (Label::None, _) => return Ok(()),
            (_, Token::Text(_)) => Some(Name::Named(self.text()?)),
            (Label::NameOrDefault, Token::Word(word)) if word == "default" => {
                self.advance()?;
                Some(Name::Default)
            }
            (label, _) => {
                let default = label == Label::NameOrDefault;
                let wanted = if default { "STRING or default" } else { "STRING" };
                let hint = "the section's name stands here, in double quotes".to_owned();
                return Err(self.unexpected(wanted).hint(hint));
            }
        };
        Ok(())
    }

    /// An address and a connection type, both optional, in either order.
    fn selector(&mut self, block: &mut Block) -> Result<(), Diagnostic> {
        let mut connection: Option<ConnectionType> = None;
        loop {
            match &self.token {
                Token::Text(_) if block.address.is_none() => {
                    let place = self.place.clone();
                    block.address = Some((self.text()?, place));
                }
                Token::Word(word) if connection.is_none() => {
                    let Some(known) = raw::connection_type(word) else {
                        return Err(self.unexpected("'{'"));
                    };
                    connection = Some(known);
                    self.advance()?;
                }
                _ => break,
            }
        }
        block.connection = connection.unwrap_or(ConnectionType::Any);
        Ok(())
    }

    fn text(&mut self) -> Result<String, Diagnostic> {
        if !matches!(self.token, Token::Text(_)) {
            return Err(self.unexpected("STRING").hint(self.mistake("STRING")));
        }
        match self.advance()? {
            (Token::Text(text), _) => Ok(text),
            _ => unreachable!("the token was looked at"),
        }
    }

    fn expect(&mut self, wanted: &Token, name: &str) -> Result<(), Diagnostic> {
        if self.token != *wanted {
            return Err(self.unexpected(name));
        }
        self.advance().map(drop)
    }

    /// The brace at the end of a section.
    fn close(&mut self, row: &Row, opened: &Place) -> Result<(), Diagnostic> {
        let hint = match self.token {
            Token::Close => return self.advance().map(drop),
            Token::End => format!("'{}' at line {} is not closed", row.name, opened.line),
            _ => format!("'{}' at line {} takes options and their values", row.name, opened.line),
        };
        Err(self.unexpected("'}'").hint(hint))
    }

    /// Steps over the current token and gives it away.
    fn advance(&mut self) -> Result<(Token, Place), Diagnostic> {
        let (token, place) = self.lexer.next(self.files.complaints)?;
        Ok((std::mem::replace(&mut self.token, token), std::mem::replace(&mut self.place, place)))
    }

    /// A word that is no option of this scope.
    fn unknown(&self, scope: Scope) -> Diagnostic {
        let Token::Word(word) = &self.token else { unreachable!("only words are looked up") };
        let expected = if scope == Scope::Top { "end of file" } else { "'}'" };
        let suggestion = options::suggestion(scope, word);
        let hint = match suggestion {
            Some(suggestion) if options::is_keyword(word) => suggestion,
            Some(suggestion) => format!("unknown directive '{word}'; {suggestion}"),
            None => format!("unknown directive '{word}'"),
        };
        self.unexpected(expected).hint(hint)
    }

    fn unexpected(&self, expected: &str) -> Diagnostic {
        let found = match &self.token {
            Token::Open => "'{'",
            Token::Close => "'}'",
            Token::Number(_) => "NUMBER",
            Token::Size(_) => "SIZE_NUMBER",
            Token::Text(_) => "STRING",
            Token::Word(word) if options::is_keyword(word) => word,
            Token::Word(_) => "IDENT",
            Token::End => "end of file",
        };
        let message = format!("syntax error, unexpected {found}, expecting {expected}");
        Diagnostic::at(&self.place, message)
    }
}
