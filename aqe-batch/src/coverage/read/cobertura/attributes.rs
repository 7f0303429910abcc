//! The attributes of an element.

use std::io;

use quick_xml::XmlVersion;
use quick_xml::encoding::Decoder;
use quick_xml::events::BytesStart;

use crate::coverage::read::collector::Failure;

/// The attributes of an element, decoded and with its own five entities resolved.
pub(super) struct Attributes<'e> {
    pub(super) element: &'e BytesStart<'e>,
    pub(super) decoder: Decoder,
}

impl Attributes<'_> {
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&[u8], &str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for attribute in self.element.attributes() {
            let attribute = attribute.map_err(|error| refused(error.into()))?;
            let value = attribute
                .decoded_and_normalized_value(XmlVersion::Implicit1_0, self.decoder)
                .map_err(refused)?;
            take(attribute.key.as_ref(), &value)?;
        }
        Ok(())
    }
}

/// What the parser says, as a failure.
pub(super) fn refused(error: quick_xml::Error) -> Failure {
    match error {
        quick_xml::Error::Io(error) => Failure::Io(io::Error::new(error.kind(), error)),
        error => Failure::Malformed(format!("not well-formed XML: {error}")),
    }
}
