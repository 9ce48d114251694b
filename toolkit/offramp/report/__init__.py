"""A report on a model as one HTML file or as Markdown, from what other commands print as JSON."""

from offramp.report.html import as_html
from offramp.report.markdown import as_markdown
from offramp.report.material import Material
from offramp.report.page import Report, Section, Table
from offramp.report.sections import report_on

__all__ = ["Material", "Report", "Section", "Table", "as_html", "as_markdown", "report_on"]
