"""A page; plain python would show it to nobody."""

import streamlit as st

st.title("Hello from Streamlit")
