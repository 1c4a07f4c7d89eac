"""Mail: worded by templates; handed over by SMTP, kept in files or shown on the console."""
