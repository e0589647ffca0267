"""The Streamlit dashboard: will show the cameras, identities, journeys and search of a site.

Not built yet: this folder holds nothing but this page. It will read through the query side of `reid_pipeline.pipeline`.
"""
