//! Links of an object list (RFC 6690).

/// One link: `<target>;name=value;name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The target as it was sent.
    pub target: String,
    /// Attributes in their order, values without quotes.
    pub attributes: Vec<(String, Option<String>)>,
}

impl Link {
    /// The value of the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(candidate, _)| candidate == name)?
            .1
            .as_deref()
    }
}

/// Text that is not a list of links.
pub(super) struct LinkError;

pub(super) fn parse(payload: &[u8]) -> Result<Vec<Link>, LinkError> {
    let mut rest = std::str::from_utf8(payload)
        .map_err(|_| LinkError)?
        .trim_start();
    let mut links = Vec::new();
    while !rest.is_empty() {
        let (target, mut tail) = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .ok_or(LinkError)?;
        let mut attributes = Vec::new();
        while let Some(attribute) = tail.strip_prefix(';') {
            let end = attribute.find([';', ',', '=']).unwrap_or(attribute.len());
            let (name, value) = attribute.split_at(end);
            let Some(value) = value.strip_prefix('=') else {
                attributes.push((name.to_owned(), None));
                tail = value;
                continue;
            };
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(LinkError)?,
                None => value.split_at(value.find([';', ',']).unwrap_or(value.len())),
            };
            attributes.push((name.to_owned(), Some(value.to_owned())));
            tail = after;
        }
        links.push(Link {
            target: target.to_owned(),
            attributes,
        });
        rest = match tail.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if tail.is_empty() => tail,
            None => return Err(LinkError),
        };
    }
    Ok(links)
}
