//! Rows of the console's answers: columns with types, cells, and both as messages. It knows
//! PostgreSQL's formats of six types, text and binary, and not what the rows say.

use std::borrow::Cow;

use wire::encode;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `text`
    Text,
    /// `int8`
    Int8,
    /// `int4`
    Int4,
    /// `bool`
    Bool,
    /// `float4`
    Float4,
}

/// A column of a command's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: Type,
    /// What it says, with its unit.
    pub meaning: &'static str,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nobody knows.
    Null,
    /// Of a `text` column.
    Text(Cow<'static, str>),
    /// Of a column of numbers; what an `int4` cannot hold is shown as the largest it can.
    Int(i64),
    /// Of a `bool` column.
    Bool(bool),
    /// Of a `float4` column.
    Float(f32),
}

/// A row.
pub type Row = Vec<Cell>;

/// How a client wants to read a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text.
    #[default]
    Text,
    /// As PostgreSQL keeps it.
    Binary,
}

/// A `text` column.
pub const fn text(name: &'static str, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind: Type::Text, meaning }
}

/// An `int8` column.
pub const fn long(name: &'static str, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind: Type::Int8, meaning }
}

/// An `int4` column.
pub const fn int(name: &'static str, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind: Type::Int4, meaning }
}

/// A `bool` column.
pub const fn boolean(name: &'static str, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind: Type::Bool, meaning }
}

/// A `float4` column.
pub const fn float(name: &'static str, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind: Type::Float4, meaning }
}

impl Type {
    /// In PostgreSQL's catalogue.
    fn oid(self) -> u32 {
        match self {
            Type::Bool => 16,
            Type::Int8 => 20,
            Type::Int4 => 23,
            Type::Text => 25,
            Type::Float4 => 700,
        }
    }

    /// Bytes of a value; −1: it varies.
    fn bytes(self) -> i16 {
        match self {
            Type::Text => -1,
            Type::Bool => 1,
            Type::Int4 | Type::Float4 => 4,
            Type::Int8 => 8,
        }
    }

    /// Its name in SQL.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page of commands is checked by it"))]
    pub fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Int8 => "int8",
            Type::Int4 => "int4",
            Type::Bool => "bool",
            Type::Float4 => "float4",
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text.into())
    }
}

impl From<&'static str> for Cell {
    fn from(text: &'static str) -> Self {
        Cell::Text(text.into())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        (number as u64).into()
    }
}

impl From<bool> for Cell {
    fn from(truth: bool) -> Self {
        Cell::Bool(truth)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(known: Option<T>) -> Self {
        known.map_or(Cell::Null, Into::into)
    }
}

impl Cell {
    /// The value as bytes, None for NULL.
    fn encode(&self, kind: Type, format: Format) -> Option<Cow<'_, [u8]>> {
        let bytes = match (self, format) {
            (Cell::Null, _) => return None,
            // A NUL would end the value for most readers.
            (Cell::Text(text), _) if text.contains('\0') => text.replace('\0', "").into_bytes(),
            (Cell::Text(text), _) => return Some(Cow::Borrowed(text.as_bytes())),
            (Cell::Int(number), Format::Binary) if kind == Type::Int4 => {
                narrow(*number).to_be_bytes().to_vec()
            }
            (Cell::Int(number), Format::Binary) => number.to_be_bytes().to_vec(),
            (Cell::Int(number), Format::Text) if kind == Type::Int4 => {
                narrow(*number).to_string().into_bytes()
            }
            (Cell::Int(number), Format::Text) => number.to_string().into_bytes(),
            (Cell::Bool(truth), Format::Binary) => vec![u8::from(*truth)],
            (Cell::Bool(truth), Format::Text) => vec![if *truth { b't' } else { b'f' }],
            (Cell::Float(number), Format::Binary) => number.to_be_bytes().to_vec(),
            (Cell::Float(number), Format::Text) => format!("{number:.2}").into_bytes(),
        };
        Some(Cow::Owned(bytes))
    }
}

fn narrow(number: i64) -> i32 {
    number.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// RowDescription. `format` says how each column is read.
pub fn describe(out: &mut Vec<u8>, columns: &[Column], format: impl Fn(usize) -> Format) {
    let described = columns.iter().enumerate().map(|(at, column)| encode::Column {
        name: &column.name,
        type_oid: column.kind.oid(),
        type_bytes: column.kind.bytes(),
        format: format(at) as i16,
    });
    encode::row_description(out, &described.collect::<Vec<_>>());
}

/// DataRow.
pub fn data(out: &mut Vec<u8>, columns: &[Column], row: &[Cell], format: impl Fn(usize) -> Format) {
    debug_assert_eq!(columns.len(), row.len(), "a row has a cell for each column");
    let cells = row.iter().zip(columns).enumerate();
    let values: Vec<Option<Cow<'_, [u8]>>> =
        cells.map(|(at, (cell, column))| cell.encode(column.kind, format(at))).collect();
    encode::data_row(out, &values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_postgresqls_formats() {
        let cases: [(Cell, Type, &[u8], &[u8]); 7] = [
            ("a\0b".into(), Type::Text, b"ab", b"ab"),
            (Cell::Int(5), Type::Int4, b"5", &[0, 0, 0, 5]),
            (Cell::Int(-1), Type::Int8, b"-1", &[255; 8]),
            (Cell::Int(1 << 40), Type::Int4, b"2147483647", &[127, 255, 255, 255]),
            (true.into(), Type::Bool, b"t", &[1]),
            (Cell::Float(1.5), Type::Float4, b"1.50", &[63, 192, 0, 0]),
            (u64::MAX.into(), Type::Int8, b"9223372036854775807", &i64::MAX.to_be_bytes()),
        ];
        for (cell, kind, text, binary) in cases {
            assert_eq!(cell.encode(kind, Format::Text).as_deref(), Some(text), "{cell:?}");
            assert_eq!(cell.encode(kind, Format::Binary).as_deref(), Some(binary), "{cell:?}");
        }
        assert_eq!(Cell::Null.encode(Type::Text, Format::Text), None);
    }
}
