//! PAM: a service of the system says whether the password is right and the account may be used.

use std::ffi::{OsStr, OsString};

use nonstick::items::ItemsMut as _;
use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, PamShared as _, Transaction, TransactionBuilder,
};

use super::Question;

/// What modules may ask us while they check.
struct Answers {
    user: String,
    password: String,
}

impl ConversationAdapter for Answers {
    fn prompt(&self, _: impl AsRef<OsStr>) -> Result<OsString, ErrorCode> {
        Ok(OsString::from(&self.user))
    }

    fn masked_prompt(&self, _: impl AsRef<OsStr>) -> Result<OsString, ErrorCode> {
        Ok(OsString::from(&self.password))
    }

    /// There is nobody to read it.
    fn error_msg(&self, _: impl AsRef<OsStr>) {}

    fn info_msg(&self, _: impl AsRef<OsStr>) {}
}

/// Blocks.
pub(super) fn knows(service: &str, question: &Question) -> Result<(), String> {
    let Question { user, password, from, .. } = question;
    let answers = Answers { user: user.clone(), password: password.clone() };
    let check = || {
        let builder = TransactionBuilder::new_with_service(service).username(user);
        let mut transaction = builder.build(answers.into_conversation())?;
        if let Some(host) = from {
            transaction.items_mut().set_remote_host(Some(OsStr::new(host)))?;
        }
        transaction.authenticate(AuthnFlags::SILENT)?;
        transaction.account_management(AuthnFlags::SILENT)
    };
    check().map_err(|error: ErrorCode| error.to_string())
}
