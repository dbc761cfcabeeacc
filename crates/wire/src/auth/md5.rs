//! skeleton
#![allow(missing_docs, dead_code, unused_variables, clippy::todo, reason = "skeleton")]
/// "md5" + hex(md5(password + user)): the stored form
pub fn stored(user: &[u8], password: &[u8]) -> String {
    todo!()
}
/// client side: the answer to AuthenticationMD5Password, from a plain password
pub fn response(user: &[u8], password: &[u8], salt: [u8; 4]) -> String {
    todo!()
}
/// client side, from a stored md5… secret
pub fn response_from_stored(stored: &str, salt: [u8; 4]) -> String {
    todo!()
}
/// server side, constant time; `stored` = "md5…" (see `stored` for plain passwords)
pub fn matches(stored: &str, salt: [u8; 4], answer: &[u8]) -> bool {
    todo!()
}
