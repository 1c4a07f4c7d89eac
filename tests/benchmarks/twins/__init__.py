"""What one would write by hand for the same work, kept honest: nobody makes a twin slower to look better."""
